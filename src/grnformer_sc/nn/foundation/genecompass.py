"""The encoder of GeneCompass (Yang et al. 2024): a BERT over ranked genes, with their values and what is known of them.

Written from its published description and file layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..._core.checks import fail, listing
from ..backbones.published import fill
from .base import Sequences
from .geneformer import RENAMED as OF_BERT
from .geneformer import UNUSED as UNUSED_OF_BERT
from .geneformer import GeneformerConfig, GeneformerNet

SPECIES = ("human", "mouse")  # in the order of their embeddings
# embeddings of what is known of a gene, in the order in which they are joined
KNOWLEDGE = ("promoter", "co_exp", "gene_family", "peca_grn")
_ONE_OF = "|".join(KNOWLEDGE)
JOINED = "concat_embeddings"
RENAMED = (
    *OF_BERT,
    (rf"^embeddings\.({_ONE_OF})_embeddings\.", r"knowledge.\1."),
    (rf"^embeddings\.({_ONE_OF})_knowledge$", r"knowledge.\1.table"),
    (rf"^embeddings\.{JOINED}\.", "joined."),
    (r"^embeddings\.homologous_index$", "homologous_index"),
    (r"^cls_embedding\.", "species."),
)
UNUSED = (*UNUSED_OF_BERT, "cls4value.", "emb_warmup.")
ROWS = 4096  # tokens that are embedded at once where all are


class _Knowledge(nn.Module):
    """Known facts of every token, brought to the width of the model."""

    table: Tensor

    def __init__(self, n_tokens: int, width: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(n_tokens, width))
        self.linear1 = nn.Linear(width, dim)

    def forward(self, index: Tensor) -> Tensor:
        return self.linear1(self.table[index])


class _Joined(nn.Module):
    """What is joined of a token, brought to the width of the model."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.cat_fc, self.cat_proj = nn.Linear(width, dim), nn.Linear(dim, dim)
        self.cat_ln = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        h = self.cat_ln(self.cat_fc(x))
        return self.cat_proj(h * torch.sigmoid(1.702 * h))


class GeneCompassNet(GeneformerNet):
    """Encoder of tokens, values and known facts.

    The token of the species, where there is one, is the first of a sequence and has the number after all others; which
    species it is stands in the context.
    """

    homologous_index: Tensor

    def __init__(self, config: GeneformerConfig, widths: Mapping[str, int], *, species_token: bool) -> None:
        super().__init__(config)
        self.front = int(species_token)
        self.n_tokens, self.n_places = config.n_tokens + self.front, config.n_places + self.front
        self.knowledge = nn.ModuleDict(
            {name: _Knowledge(config.n_tokens, widths[name], config.dim) for name in KNOWLEDGE if name in widths}
        )
        self.joined = _Joined(config.dim * (1 + len(self.knowledge)) + 1, config.dim)
        self.species = nn.Embedding(len(SPECIES), config.dim) if species_token else None
        self.register_buffer("homologous_index", torch.arange(config.n_tokens))

    @property
    def knowledge_widths(self) -> dict[str, int]:
        """Width of every kind of knowledge."""
        return {name: cast("_Knowledge", facts).table.shape[1] for name, facts in self.knowledge.items()}

    def _join(
        self, index: Int64[Tensor, "*cells"], known_as: Int64[Tensor, "*cells"], values: Float[Tensor, "*cells"]
    ) -> Float[Tensor, "*cells dim"]:
        """Tokens by the word that they are known as, with their values and their own facts."""
        facts = [facts(index) for facts in self.knowledge.values()]
        return self.joined(torch.cat([self.tokens(known_as), values[..., None], *facts], dim=-1))

    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Token of the species, then the normalised sum of what is joined of each gene and the embedding of its place.

        A gene of the mouse has the word of its human homologue.
        """
        index, mouse = x.index[:, self.front :], cast("Tensor", x.context)[:, :1].long()
        values = torch.zeros_like(index, dtype=torch.float32) if x.values is None else x.values[:, self.front :]
        known_as = torch.where(mouse == 1, self.homologous_index[index], index)
        h = self.embed_genes(index, known_as, values, self.positions.weight[: index.shape[1]])
        return h if self.species is None else torch.cat([self.species(mouse), h], dim=1)

    def embed_genes(
        self, index: Int64[Tensor, "*cells"], known_as: Int64[Tensor, "*cells"], values: Float[Tensor, "*cells"],
        places: Float[Tensor, "*any dim"],
    ) -> Float[Tensor, "*cells dim"]:  # fmt: skip
        """Normalised sum of what is joined of each gene, and the embeddings of its place and type."""
        return self.norm(self._join(index, known_as, values) + places + self.types.weight[0])

    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """What is joined of every token with its own word and the value 0; the token of the species is 0."""
        n, device = self.config.n_tokens, self.norm.weight.device
        parts = (torch.arange(first, min(first + ROWS, n), device=device) for first in range(0, n, ROWS))
        rows = [self._join(part, part, torch.zeros_like(part, dtype=torch.float32)) for part in parts]
        return torch.cat([*rows, self.norm.weight.new_zeros(self.front, self.dim)])


def net_of(
    config: GeneformerConfig, state: Mapping[str, Tensor], file: Path, *, strict: bool
) -> tuple[GeneCompassNet, pd.DataFrame]:
    """Encoder with the weights of a file, its parts those that the file holds, and what became of every key."""
    names = {name.removeprefix("bert."): name for name in state}
    if not any(name.startswith(f"embeddings.{JOINED}.") for name in names):
        raise fail(
            ValueError, f"{file.name} must hold {JOINED}, which join words, values and knowledge.", "a BERT without them.",
            "give the weights of a GeneCompass; those of a Geneformer are read by grs.model.Geneformer.",
        )  # fmt: skip
    learned = [name for name in KNOWLEDGE if f"embeddings.{name}_embeddings.linear1.weight" in names]
    without = [f"{name}_knowledge" for name in learned if f"embeddings.{name}_knowledge" not in names]
    if without and strict:
        raise fail(
            ValueError, f"{file.name} must hold the knowledge of its genes beside what was learned of it.",
            f"no {listing(without)}.", "give a file that was saved with its buffers, as the published ones are.",
        )  # fmt: skip
    widths = {name: state[names[f"embeddings.{name}_embeddings.linear1.weight"]].shape[-1] for name in learned}
    net = GeneCompassNet(config, widths, species_token="cls_embedding.weight" in names)
    net.eval().requires_grad_(requires_grad=False)
    report = fill(net, state, source=file, rules=RENAMED, unused=UNUSED, strict=strict)
    last = int(net.homologous_index.max())
    if not 0 <= int(net.homologous_index.min()) <= last < config.n_tokens:
        raise fail(
            ValueError, f"homologous_index of {file.name} must name tokens below {config.n_tokens}.", f"{last}.",
            "give the file as it was published.",
        )  # fmt: skip
    return net, report
