"""The scFoundation architecture (Hao et al. 2024): an encoder of expressed genes, a decoder of all genes, depth tokens.

Written from its published description and file layout; no code is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail, need_one_of
from ..batch import CellBatch
from ..values import count_of_log, log_of
from .base import Backbone, BackboneConfig, Encoded, Read, built, first_query, register_backbone
from .layers import feed_forward_of, post_norm_layers, run_layers
from .performer import PerformerLayer
from .published import Published, fill, need_no_options, read_tensors
from .scfoundation_file import N_DEPTH, OPTIONS, RENAMED, UNUSED, open_part, read_vocabulary, sizes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ScFoundationConfig(BackboneConfig):
    """Settings of scFoundation.

    Attributes
    ----------
    decoder_dim, decoder_layers, decoder_heads, decoder_dim_head
        Sizes of the decoder; None takes those of the encoder (and `decoder_dim / decoder_heads`).
    n_codes
        Vectors that a value is spread over (its auto-discretisation).
    alpha
        Weight of the direct path in the auto-discretisation.
    pool
        State of the cell: largest or mean value of each column over the encoded places.
    thinned
        Thin half of the training cells, so that the depth tokens S and T learn to differ.
    """

    decoder_dim: int | None = None
    decoder_layers: int = 1
    decoder_heads: int | None = None
    decoder_dim_head: int | None = None
    n_codes: int = 100
    alpha: float = 1.0
    pool: Literal["max", "mean"] = "max"
    thinned: bool = True

    def __post_init__(self) -> None:
        need_one_of(self.pool, ("max", "mean"), name="pool")
        if self.decoder_layers < 1 or self.n_codes < 2:
            raise fail(
                ValueError, "scfoundation needs at least 1 decoder layer and 2 codes.",
                f"decoder_layers={self.decoder_layers}, n_codes={self.n_codes}.", "raise them.",
            )  # fmt: skip

    def tokens(self) -> dict[str, Any]:
        """Choices of `grs.data.TokenSpec` that the backbone depends on."""
        return {"thinned": self.thinned}


class AutoDiscretisation(nn.Module):
    r"""Embedding of a value: a learned mixture of `n_codes` vectors.

    .. math:: h = \mathrm{LeakyReLU}(w x + b),\quad e(x) = \mathrm{softmax}(\alpha h + V h + c)\, E
    """

    def __init__(self, dim: int, n_codes: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.mlp, self.mlp2 = nn.Linear(1, n_codes), nn.Linear(n_codes, n_codes)
        self.emb = nn.Embedding(n_codes, dim)
        self.emb_mask, self.emb_pad = nn.Embedding(1, dim), nn.Embedding(1, dim)

    def forward(self, values: Float[Tensor, "cells places"]) -> Float[Tensor, "cells places dim"]:
        """Embed values."""
        h = functional.leaky_relu(self.mlp(values[..., None]), 0.1)
        return (self.alpha * h + self.mlp2(h)).softmax(dim=-1) @ self.emb.weight


class _Encoder(nn.Module):
    def __init__(self, config: ScFoundationConfig) -> None:
        super().__init__()
        self.layers = post_norm_layers(config, 4 * config.dim)
        self.norm = nn.LayerNorm(config.dim)


class _Decoder(nn.Module):
    def __init__(self, dim: int, config: ScFoundationConfig) -> None:
        super().__init__()
        heads = config.decoder_heads or config.heads
        dim_head = config.decoder_dim_head or max(dim // heads, 1)
        self.layers = nn.ModuleList(
            [PerformerLayer(dim, heads, dim_head, config.dropout) for _ in range(config.decoder_layers)]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, h: Tensor) -> Tensor:
        for layer in self.layers:
            h = layer(h)
        return self.norm(h)


@register_backbone("scfoundation")
class ScFoundation(Backbone):
    """Encoder over T, S and the visible expressed genes; decoder over T, S and all genes of the vocabulary.

    An adapter replaces the last layer of the encoder: the decoder reads what the network added.
    """

    config: ScFoundationConfig
    Config = ScFoundationConfig
    gene_table = "pos_emb.weight"
    files = ("models.ckpt",)
    published: ClassVar[Mapping[str, Any]] = {
        "dim": 768, "layers": 12, "heads": 12, "decoder_dim": 512, "decoder_layers": 6, "decoder_heads": 8,
        "decoder_dim_head": 64, "n_codes": 100, "alpha": 1.0,
    }  # fmt: skip
    typical = 2.0

    def __init__(self, config: ScFoundationConfig) -> None:
        super().__init__(config)
        self.decoder_dim = config.decoder_dim or config.dim
        self.token_emb = AutoDiscretisation(config.dim, config.n_codes, config.alpha)
        self.pos_emb = nn.Embedding(config.n_genes + N_DEPTH + 1, config.dim)  # genes, T, S, padding
        self.encoder = _Encoder(config)
        self.decoder_embed = nn.Linear(config.dim, self.decoder_dim)
        self.decoder = _Decoder(self.decoder_dim, config)
        self.norm = nn.LayerNorm(self.decoder_dim)
        self.to_final = nn.Linear(self.decoder_dim, 1) if config.value_head else None

    @property
    def out_dim(self) -> int:
        """Width of the decoder."""
        return self.decoder_dim

    def embed(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Encoded:
        """Depth tokens and visible expressed genes, each the sum of a value and a gene embedding."""
        shown = slice(0, first_query(batch))
        padding, n_genes = batch.padding[:, shown], self.config.n_genes
        value = self.token_emb(torch.cat([batch.depth, self.values(batch.values[:, shown], batch)], dim=1))
        padding = functional.pad(padding, (N_DEPTH, 0))
        value = torch.where(padding[..., None], self.token_emb.emb_pad.weight, value)
        depth = torch.tensor([n_genes, n_genes + 1], device=batch.genes.device).expand(batch.genes.shape[0], -1)
        index = torch.cat([depth, batch.genes[:, shown]], dim=1).masked_fill(padding, n_genes + N_DEPTH)
        return Encoded(value + self.pos_emb(index), functional.pad(silent[:, shown], (N_DEPTH, 0)))

    def encode(self, x: Encoded) -> Encoded:
        """Run all layers of the encoder but the last."""
        return run_layers(x, list(self.encoder.layers)[: self.config.layers - 1])

    def last_layer(self, x: Encoded) -> Encoded:
        """Run the last layer of the encoder."""
        return run_layers(x, [self.encoder.layers[self.config.layers - 1]])

    def feed_forward(self, x: Encoded) -> Encoded:
        """Run the feed-forward part of the last layer."""
        return x.with_h(feed_forward_of(self.encoder.layers, x.h))

    def read(self, x: Encoded, batch: CellBatch) -> Read:
        """Decode all genes: encoded ones as they are, zeros as the value 0, all others as masked."""
        h = self.encoder.norm(x.h)
        decoded = self._decode(h, batch)
        index = batch.genes[..., None].expand(-1, -1, decoded.shape[2])
        return Read(torch.gather(decoded, 1, index), self._pool(h, x.silent))

    def _decode(self, h: Tensor, batch: CellBatch) -> Float[Tensor, "cells genes decoder_dim"]:
        n_cells, n_genes = batch.shown.shape
        zero = self.token_emb(h.new_zeros(1, 1))
        start = torch.where((batch.shown & ~batch.visible)[..., None], zero, self.token_emb.emb_mask.weight)
        spare = start.new_zeros(n_cells, 1, self.dim)  # takes the padding
        encoded = h[:, N_DEPTH:]
        place = batch.genes[:, : encoded.shape[1]].masked_fill(batch.padding[:, : encoded.shape[1]], n_genes)
        full = torch.cat([start, spare], dim=1).scatter(
            1, place[..., None].expand(-1, -1, self.dim), encoded.to(start.dtype)
        )
        sequence = torch.cat([full[:, :n_genes], h[:, :N_DEPTH].to(start.dtype)], dim=1)
        sequence = sequence + self.pos_emb.weight[: n_genes + N_DEPTH]
        return self.norm(self.decoder(self.decoder_embed(sequence)))[:, :n_genes]

    def _pool(self, h: Tensor, silent: Tensor) -> Float[Tensor, "cells dim"]:
        if self.config.pool == "max":
            return h.masked_fill(silent[..., None], -torch.inf).amax(dim=1)
        here = ~silent[..., None]
        return (h * here).sum(dim=1) / here.sum(dim=1)

    def places(self, batch: CellBatch) -> Int[Tensor, "cells tokens"]:
        """Encoded genes follow the depth tokens; masked genes appear in the decoder only."""
        place = torch.arange(N_DEPTH, batch.genes.shape[1] + N_DEPTH, device=batch.genes.device)
        return place.expand(batch.genes.shape).masked_fill(batch.masked, -1)

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predicted log counts per 10,000."""
        return built(self.to_final, "value_head")(tokens).squeeze(-1)

    def values(self, counts: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Log counts per 10,000; visible counts relative to S, masked ones are asked for at the depth T."""
        visible = log_of(counts, batch.depth[:, 1])
        return torch.where(batch.masked[:, : counts.shape[1]], log_of(counts, batch.depth[:, 0]), visible)

    def counts(self, values: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts that values stand for at the depth T."""
        return count_of_log(values, batch.depth[:, 0])

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene."""
        return self.pos_emb.weight[: self.config.n_genes]

    def own_rows(self) -> list[int]:
        """Rows of T, S and padding."""
        return [self.config.n_genes + i for i in range(N_DEPTH + 1)]

    @classmethod
    def read_published(cls, path: Path, *, strict: bool = True, **options: Any) -> Published[ScFoundation]:
        """Read `models.ckpt`, or the folder that holds it.

        Parameters
        ----------
        path
            The file or its folder.
        strict
            A key that does not fit is an error.
        options
            `part`: `"cell"` (default), `"gene"` or `"rde"`, the models in the file. `vocabulary`: the genes in their order,
            as names or as the file that was published with the weights (`OS_scRNA_gene_index.19264.tsv`, also .gz); by
            default the only .tsv beside the checkpoint.
        """
        part, genes = options.pop("part", "cell"), options.pop("vocabulary", None)
        need_no_options("scfoundation", options, OPTIONS)
        file = path / cls.files[0] if path.is_dir() else path
        vocabulary = read_vocabulary(genes, file)
        sizes, state = open_part(read_tensors(file), part, file)
        model = cls(ScFoundationConfig(**sizes_of(sizes, vocabulary, file))).eval()
        report = fill(model, state, source=file, rules=RENAMED, unused=UNUSED, strict=strict)
        return Published("scfoundation", model, vocabulary, report)
