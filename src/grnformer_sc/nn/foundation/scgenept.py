"""scGenePT (Istrate et al. 2024): an scGPT that also reads what is written about genes, and which genes are perturbed.

Written from its published description and file layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..._core.checks import fail, listing
from ..backbones import ScGPT, ScGPTConfig
from ..backbones.published import fill
from ..backbones.scgpt import RENAMED as OF_SCGPT
from ..backbones.scgpt import UNUSED as UNUSED_OF_SCGPT
from .base import Sequences
from .scgpt import ScGPTNet

# embeddings of what is written about a gene, by their place in the file: summaries, or parts of the Gene Ontology
LANGUAGES = {
    "genept": "genept_encoder", "component": "gopt_encoder_c", "function": "gopt_encoder_f", "process": "gopt_encoder_p",
}  # fmt: skip
RENAMED = (
    (r"^module\.", ""),
    *OF_SCGPT,
    *((rf"^{theirs}\.(proj_layer|fc)\.", f"language.{ours}.proj.") for ours, theirs in LANGUAGES.items()),
    *((rf"^{theirs}\.", f"language.{ours}.") for ours, theirs in LANGUAGES.items()),
    (r"^(encoder|value_encoder|transformer_encoder|decoder)\.", r"backbone.\1."),
)
UNUSED = (*UNUSED_OF_SCGPT, "mvc_decoder.", "cls_decoder.")
N_FLAGS = 3  # not perturbed, perturbed, padding
TABLE, FEED_FORWARD = "encoder.embedding.weight", "transformer_encoder.layers.0.linear1.weight"


class LanguageEncoder(nn.Module):
    """Embedding of what is written about a gene, brought to the width of the model."""

    def __init__(self, n_tokens: int, width: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, width)
        self.proj = nn.Linear(width, dim)
        self.enc_norm = nn.LayerNorm(dim)

    def forward(self, index: Tensor) -> Tensor:
        """Look up, project, normalise."""
        return self.enc_norm(self.proj(self.embedding(index)))


class ScGenePTNet(ScGPTNet):
    """Encoder of tokens, values, written knowledge and flags.

    The token of a gene that is perturbed has the number of the gene and that of all tokens added to it.
    """

    def __init__(self, backbone: ScGPT, widths: Mapping[str, int], *, n_places: int) -> None:
        super().__init__(backbone, n_places=n_places)
        self.language = nn.ModuleDict(
            {name: LanguageEncoder(self.n_tokens, width, self.dim) for name, width in widths.items()}
        )
        self.pert_encoder = nn.Embedding(N_FLAGS, self.dim)
        self.ln = nn.LayerNorm(self.dim)

    @property
    def language_widths(self) -> dict[str, int]:
        """Width of the embeddings of what is written, by their names."""
        return {name: cast("LanguageEncoder", part).embedding.embedding_dim for name, part in self.language.items()}

    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Tokens with their values, those of perturbed genes with their flag."""
        flag = (x.index >= self.n_tokens).long()
        token = x.index - flag * self.n_tokens
        values = torch.zeros_like(token, dtype=torch.float32) if x.values is None else x.values.float()
        return self.embed_tokens(token, values, flag)

    def embed_tokens(
        self, token: Int64[Tensor, "cells places"], values: Float[Tensor, "cells places"],
        flag: Int64[Tensor, "cells places"],
    ) -> Float[Tensor, "cells places dim"]:  # fmt: skip
        """Normalised sum of the embeddings of token, value, written knowledge and flag."""
        h = self.backbone.embed_tokens(token, values) + self.pert_encoder(flag)
        for language in self.language.values():
            h = h + language(token)
        return self.ln(h)

    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """Sum of the normalised table of tokens and of what is written about them."""
        index = torch.arange(self.n_tokens, device=self.ln.weight.device)
        return sum((language(index) for language in self.language.values()), super().token_embedding())


def net_of(
    state: Mapping[str, Tensor], file: Path, *, heads: int, n_tokens: int, n_places: int, strict: bool
) -> tuple[ScGenePTNet, pd.DataFrame]:
    """Encoder with the weights of a file, sizes from their shapes, and what became of every key."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    widths = {name: _shape(state, f"{key}.embedding.weight", 1) for name, key in LANGUAGES.items()}
    widths = {name: width for name, width in widths.items() if width}
    rows, dim = _shape(state, TABLE, 0), _shape(state, TABLE, 1)
    hidden = _shape(state, FEED_FORWARD, 0)
    number = re.compile(r"^transformer_encoder\.layers\.(\d+)\.")
    layers = {found[1] for name in state if (found := number.match(name))}
    missing = [name for name, there in ((TABLE, rows), (FEED_FORWARD, hidden)) if not there]
    if missing or not widths:
        raise fail(
            ValueError,
            f"{file.name} must hold an scGPT ({TABLE}, ...) and at least one of {listing(LANGUAGES.values())}.",
            f"no {missing[0]}." if missing else "an scGPT without them.",
            "give the weights of an scGenePT; those of an scGPT are read by grs.model.ScGPT.",
        )  # fmt: skip
    if rows != n_tokens:
        raise fail(
            ValueError, f"the vocabulary must name every row of {TABLE}.", f"{n_tokens} tokens and {rows} rows.",
            "give the vocab.json of the scGPT that this model was made from.",
        )  # fmt: skip
    if dim % heads:
        raise fail(
            ValueError, "heads must divide the width of the model.", f"{heads} and {dim}.", "pass heads=<as trained>."
        )
    config = ScGPTConfig(
        n_genes=n_tokens, cls=0, dim=dim, layers=len(layers), heads=heads, hidden=hidden, dropout=0.0,
        value_head=any(name.startswith("decoder.") for name in state),
    )  # fmt: skip
    net = ScGenePTNet(ScGPT(config), widths, n_places=n_places).eval().requires_grad_(requires_grad=False)
    return net, fill(net, state, source=file, rules=RENAMED, unused=UNUSED, strict=strict)


def _shape(state: Mapping[str, Tensor], name: str, axis: int) -> int:
    return state[name].shape[axis] if name in state and state[name].ndim == 2 else 0
