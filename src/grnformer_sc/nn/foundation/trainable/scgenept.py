"""scGenePT as a backbone: what goes into its first layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...._core.checks import fail
from ...backbones.base import register_backbone
from ...backbones.scgpt import MASK_VALUE, ScGPT, ScGPTConfig
from ...batch import CellBatch
from ..backbone import FoundationBackbone, FoundationBackboneConfig, Parts
from ..scgenept import ScGenePTNet

GIVEN = "given"  # language branch that holds a user's own embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScGenePTBackboneConfig(FoundationBackboneConfig):
    """Settings of scGenePT.

    Attributes
    ----------
    languages
        Width of the embeddings of what is written about genes, by their names. They are those of a published file
        (`"genept"`, `"component"`, `"function"`, `"process"`) or a user's own (`"given"`, from `gene_embedding`).
    """

    languages: dict[str, int] = field(default_factory=dict)


@register_backbone("scgenept")
class ScGenePTBackbone(FoundationBackbone):
    """scGenePT (Istrate et al. 2024): an scGPT that also reads what is written about genes.

    As in its files no place stands for the cell, which is the mean of its visible genes. Values are log counts per 10,000, a
    masked gene has that of scGPT's masks, and no gene is flagged as perturbed.
    """

    config: ScGenePTBackboneConfig
    net: ScGenePTNet
    Config = ScGenePTBackboneConfig
    gene_table = "net.backbone.encoder.embedding.weight"

    def __init__(self, config: ScGenePTBackboneConfig) -> None:
        if not config.languages:
            raise fail(
                ValueError, "scgenept needs embeddings of what is written about genes.", "no weights and no embedding.",
                "pass checkpoint=<published weights>, or gene_embedding=<genes x dims>.",
            )  # fmt: skip
        inner = ScGPTConfig(
            n_genes=config.n_genes, dim=config.dim, layers=config.n_layers, heads=config.heads, dropout=config.dropout,
            hidden=config.width, cls=0, value_head=config.value_head,
        )  # fmt: skip
        super().__init__(config, ScGenePTNet(ScGPT(inner), config.languages, n_places=config.n_genes))
        self.gene_rows = tuple(f"net.language.{name}.embedding.weight" for name in config.languages)

    def _decoder(self) -> nn.Module | None:
        return None  # the one of scGPT

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predicted log counts per 10,000, by scGPT's decoder."""
        return self.net.backbone.predict(tokens)

    def parts(self, batch: CellBatch) -> Parts:
        """Tokens with their values and what is written about them."""
        values = self.values(batch.values, batch).masked_fill(batch.masked, MASK_VALUE)
        h = self.net.embed_tokens(batch.genes, values, torch.zeros_like(batch.genes))
        return Parts(h[:, :0], h)

    @classmethod
    def settings_for(cls, width: int) -> dict[str, Any]:
        """One embedding of what is written, of this width."""
        return {"languages": {GIVEN: width}}

    def take_embedding(self, embedding: Float[Tensor, "genes width"]) -> None:
        """Take an embedding for what is written about genes, in its own width."""
        self.get_parameter(f"net.language.{GIVEN}.embedding.weight").copy_(embedding)
