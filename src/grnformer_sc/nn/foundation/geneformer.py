"""The encoder of Geneformer (Theodoris et al. 2023): a BERT over genes in the order of their expression.

Written from the published equations of BERT (Devlin et al. 2019) and the layout of its files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail, listing
from ..backbones.layers import split_heads
from ..backbones.published import fill
from .base import FoundationNet, Sequences

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}
_LAYER = r"^encoder\.layer\.(\d+)\."
RENAMED = (
    (r"^bert\.", ""),
    (r"^embeddings\.word_embeddings\.", "tokens."),
    (r"^embeddings\.position_embeddings\.", "positions."),
    (r"^embeddings\.token_type_embeddings\.", "types."),
    (r"^embeddings\.LayerNorm\.", "norm."),
    (_LAYER + r"attention\.self\.", r"layers.\1."),
    (_LAYER + r"attention\.output\.dense\.", r"layers.\1.out."),
    (_LAYER + r"attention\.output\.LayerNorm\.", r"layers.\1.norm1."),
    (_LAYER + r"intermediate\.dense\.", r"layers.\1.linear1."),
    (_LAYER + r"output\.dense\.", r"layers.\1.linear2."),
    (_LAYER + r"output\.LayerNorm\.", r"layers.\1.norm2."),
)
# heads of pre-training and of fine-tuned classifiers, and a constant that old files hold
UNUSED = ("cls.", "classifier.", "pooler.", "embeddings.position_ids")
SIZES = {
    "vocab_size": "n_tokens", "hidden_size": "dim", "num_hidden_layers": "layers", "num_attention_heads": "heads",
    "intermediate_size": "hidden", "max_position_embeddings": "n_places",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneformerConfig:
    """Sizes of the encoder.

    Attributes
    ----------
    n_tokens
        Tokens of the vocabulary, genes and others.
    dim, layers, heads, hidden
        Width, layers, attention heads, width of the feed-forward part.
    n_places
        Longest sequence of tokens.
    n_types
        Rows of the table of token types, of which only the first is read.
    activation
        `"relu"` or `"gelu"`.
    eps
        Added to the variance by the normalisation of layers.
    """

    n_tokens: int
    dim: int = 64
    layers: int = 3
    heads: int = 4
    hidden: int = 128
    n_places: int = 2048
    n_types: int = 2
    activation: str = "relu"
    eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise fail(
                ValueError, "heads (num_attention_heads) must divide dim (hidden_size).", f"{self.heads} and {self.dim}.",
                "give the file as it was published, or other sizes.",
            )  # fmt: skip

    @classmethod
    def from_file(cls, content: Mapping[str, Any], file: Path) -> GeneformerConfig:
        """Sizes from config.json; what this encoder does not compute is an error that names it."""
        fixed = {"model_type": ("bert",), "hidden_act": tuple(ACTIVATIONS), "position_embedding_type": ("absolute",)}
        content = {"position_embedding_type": "absolute", **content}
        missing = [name for name in (*SIZES, *fixed) if name not in content]
        other = [f"{name} {content[name]!r}" for name, known in fixed.items() if content.get(name) not in known]
        whole = [f"{name} {content[name]!r}" for name in SIZES if name in content and not _positive(content[name])]
        if missing or other or whole:
            found = f"no {listing(missing)}" if missing else (other or whole)[0]
            raise fail(
                ValueError,
                f"{file.name} must describe a BERT: whole sizes {listing(SIZES)}, model_type 'bert', hidden_act in "
                f"{listing(ACTIVATIONS)}, absolute positions.",
                f"{found}.", "give the folder of a model as it was published.",
            )  # fmt: skip
        return cls(
            **{ours: content[theirs] for theirs, ours in SIZES.items()},
            n_types=content.get("type_vocab_size", 2),
            activation=content["hidden_act"],
            eps=float(content.get("layer_norm_eps", 1e-12)),
        )


def need_sizes(sizes: Mapping[str, Any]) -> None:
    """Raise `TypeError` for names that are no size of the encoder."""
    known = {"dim", "layers", "heads", "hidden", "n_places"}
    if other := sorted(set(sizes) - known):
        raise fail(TypeError, f"sizes are {listing(sorted(known))}.", f"{listing(other)}.", "leave the others out.")


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


class _Layer(nn.Module):
    """Attention, then the feed-forward part, each normalised after its residual."""

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        self.heads, self.activation = config.heads, ACTIVATIONS[config.activation]
        self.query, self.key, self.value, self.out = (nn.Linear(config.dim, config.dim) for _ in range(4))
        self.linear1, self.linear2 = nn.Linear(config.dim, config.hidden), nn.Linear(config.hidden, config.dim)
        self.norm1, self.norm2 = (nn.LayerNorm(config.dim, eps=config.eps) for _ in range(2))

    def after_attention(self, h: Tensor, heard: Tensor) -> Tensor:
        h = self.norm1(h + self.out(heard))
        return self.norm2(h + self.linear2(self.activation(self.linear1(h))))


class GeneformerNet(FoundationNet):
    """Encoder of sequences of tokens."""

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        self.config = config
        self.n_tokens, self.n_places = config.n_tokens, config.n_places
        self.dim, self.n_layers, self.heads = config.dim, config.layers, config.heads
        self.tokens = nn.Embedding(config.n_tokens, config.dim)
        self.positions = nn.Embedding(config.n_places, config.dim)
        self.types = nn.Embedding(config.n_types, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=config.eps)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Tokens at their places."""
        return self.embed_tokens(x.index, self.positions.weight[: x.index.shape[1]])

    def embed_tokens(
        self, index: Int64[Tensor, "*cells"], places: Float[Tensor, "*any dim"]
    ) -> Float[Tensor, "*cells dim"]:
        """Sum of the embeddings of token, place and type, normalised."""
        return self.norm(self.tokens(index) + places + self.types.weight[0])

    def projections(self, number: int, h: Float[Tensor, "cells places dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of one layer."""
        layer = self._layer(number)
        q, k, v = (split_heads(part(h), self.heads) for part in (layer.query, layer.key, layer.value))
        return q, k, v

    def after_attention(
        self, number: int, h: Float[Tensor, "cells places dim"], heard: Float[Tensor, "cells places dim"]
    ) -> Float[Tensor, "cells places dim"]:
        """Rest of one layer."""
        return self._layer(number).after_attention(h, heard)

    def _layer(self, number: int) -> _Layer:
        return cast("_Layer", self.layers[number])

    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """Table of tokens."""
        return self.tokens.weight


def net_of(
    config: GeneformerConfig, state: Mapping[str, Tensor], file: Path, *, strict: bool
) -> tuple[GeneformerNet, pd.DataFrame]:
    """Encoder with the weights of a file, and what became of every key."""
    net = GeneformerNet(config).eval().requires_grad_(requires_grad=False)
    report = fill(net, state, source=file, rules=RENAMED, unused=UNUSED, strict=strict)
    return net, report
