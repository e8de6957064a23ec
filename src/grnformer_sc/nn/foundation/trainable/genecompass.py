"""GeneCompass as a backbone: what goes into its first layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from ...._core.checks import need_one_of
from ...backbones.base import register_backbone
from ...batch import CellBatch
from ...values import PER
from ..backbone import Parts
from ..base import FoundationNet
from ..genecompass import KNOWLEDGE, SPECIES, GeneCompassNet
from .ranked import Ranked, RankedConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneCompassBackboneConfig(RankedConfig):
    """Settings of GeneCompass.

    Attributes
    ----------
    knowledge
        Width of what is known of genes, by its kind (`"promoter"`, `"co_exp"`, `"gene_family"`, `"peca_grn"`); only a
        published file holds it.
    species
        `"human"` or `"mouse"`: what the token of the species says.
    species_token
        Whether that token, from which the cell is read, is there; without it the cell is the mean of its genes.
    """

    knowledge: dict[str, int] = field(default_factory=dict)
    species: str = "human"
    species_token: bool = True

    def __post_init__(self) -> None:
        RankedConfig.__post_init__(self)
        need_one_of(self.species, SPECIES, name="species")
        for name in self.knowledge:
            need_one_of(name, KNOWLEDGE, name="knowledge")


@register_backbone("genecompass")
class GeneCompassBackbone(Ranked):
    """GeneCompass (Yang et al. 2024): ranks genes, and reads their values and what is known of them.

    A masked gene has the value 0. From scratch nothing is known of genes, and counts are ranked as they are.
    """

    config: GeneCompassBackboneConfig
    net: GeneCompassNet
    Config = GeneCompassBackboneConfig
    gene_table = "net.tokens.weight"

    def __init__(self, config: GeneCompassBackboneConfig) -> None:
        bert = config.bert(config.n_genes)
        super().__init__(config, GeneCompassNet(bert, config.knowledge, species_token=config.species_token))
        del self.net.homologous_index  # a row of the table of tokens is that of a gene of the data
        self.front = int(config.species_token)
        self.gene_rows = ("usual", *(f"net.knowledge.{name}.table" for name in config.knowledge))

    def parts(self, batch: CellBatch) -> Parts:
        """Token of the species, then genes with the value log2(1 + count over usual count, per 10,000 counts)."""
        rank, shown = self.ranks(batch)
        share = batch.values / self.usual[batch.genes] * (PER / 10 ** batch.depth[:, :1])
        h = self.net.embed_genes(batch.genes, batch.genes, torch.log2(1 + share), self.at(rank, batch))
        which = batch.genes.new_full((batch.genes.shape[0], self.front), SPECIES.index(self.config.species))
        cell = h[:, :0] if self.net.species is None else self.net.species(which)
        return Parts(cell, h, shown & (rank >= self.config.n_places))

    def _weights(self, net: FoundationNet, tokens: Tensor, own: list[int]) -> dict[str, Tensor]:
        state = super()._weights(net, tokens, own)
        if self.config.species == "mouse":  # a gene of the mouse has the word of its human homologue
            homologues = cast("GeneCompassNet", net).homologous_index[tokens]
            state[self.gene_table] = cast("GeneCompassNet", net).tokens.weight[homologues]
        return state
