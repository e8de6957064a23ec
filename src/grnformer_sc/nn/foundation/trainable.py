"""Geneformer, GeneCompass, scGenePT and scPRINT as backbones: what goes into their first layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ..._core.checks import fail, need_one_of
from ..backbones.base import register_backbone
from ..backbones.scgpt import MASK_VALUE, ScGPT, ScGPTConfig
from ..batch import CellBatch
from ..values import PER
from .backbone import FoundationBackbone, FoundationBackboneConfig, Parts
from .base import FoundationNet
from .genecompass import KNOWLEDGE, SPECIES, GeneCompassNet
from .geneformer import ACTIVATIONS, GeneformerConfig, GeneformerNet
from .scgenept import ScGenePTNet
from .scprint import NORMALISATIONS, ScPRINTConfig, ScPRINTNet

GIVEN = "given"  # language branch that holds a user's own embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedConfig(FoundationBackboneConfig):
    """Settings of models that rank the genes of a cell.

    Attributes
    ----------
    n_places
        Most genes of a cell that are ranked; those behind are attended to by nobody.
    activation
        `"relu"` or `"gelu"`.
    eps
        Added to the variance by the normalisation of layers.
    """

    n_places: int = 2048
    activation: str = "relu"
    eps: float = 1e-12

    def __post_init__(self) -> None:
        need_one_of(self.activation, ACTIVATIONS, name="activation")

    def bert(self, n_tokens: int) -> GeneformerConfig:
        """Sizes of the encoder."""
        return GeneformerConfig(
            n_tokens=n_tokens, dim=self.dim, layers=self.n_layers, heads=self.heads, hidden=self.width,
            n_places=self.n_places, n_types=1, activation=self.activation, eps=self.eps,
        )  # fmt: skip


class Ranked(FoundationBackbone):
    """Backbone that reads the rank of a gene among the visible ones: that of its count over its usual count.

    A masked gene has no rank. What is asked about it is its token with an embedding of its own where that of the place would
    be (at first the mean of those), so that nothing of its count is told.
    """

    config: RankedConfig
    net: GeneformerNet
    usual: Tensor

    def __init__(self, config: RankedConfig, net: GeneformerNet) -> None:
        super().__init__(config, net)
        self.register_buffer("usual", torch.ones(config.n_genes))
        self.asked = nn.Parameter(net.positions.weight.detach().mean(dim=0))

    def ranks(self, batch: CellBatch) -> tuple[Int64[Tensor, "cells tokens"], Bool[Tensor, "cells tokens"]]:
        """Rank of every visible token from 0, ties in the order of the genes; and which tokens are visible."""
        shown = ~(batch.masked | batch.padding)
        score = (batch.values / self.usual[batch.genes]).masked_fill(~shown, -torch.inf)
        return score.argsort(dim=1, descending=True, stable=True).argsort(dim=1), shown

    def at(self, rank: Int64[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens dim"]:
        """Embedding of the place of every token, or of being asked for."""
        places = self.net.positions(rank.clamp(max=self.config.n_places - 1))
        return torch.where(batch.masked[..., None], self.asked, places)

    def _weights(self, net: FoundationNet, tokens: Tensor, own: list[int]) -> dict[str, Tensor]:
        state = super()._weights(net, tokens, own)
        first_type = state["net.types.weight"][:1]  # the only one that is read
        return state | {"net.types.weight": first_type, "asked": state["net.positions.weight"].mean(dim=0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneformerBackboneConfig(RankedConfig):
    """Settings of Geneformer.

    Attributes
    ----------
    framed
        Whether sequences have <cls> and <eos>, as in version 2. Without them the cell is the mean of its genes.
    """

    framed: bool = False


@register_backbone("geneformer")
class GeneformerBackbone(Ranked):
    """Geneformer (Theodoris et al. 2023): the rank of a gene is all that is told about its count.

    Trained from scratch, a count is compared with the mean count of the gene in the training cells.
    """

    config: GeneformerBackboneConfig
    Config = GeneformerBackboneConfig
    gene_table = "net.tokens.weight"
    gene_rows = ("usual",)
    published: ClassVar[Mapping[str, Any]] = {
        "dim": 256, "layers": 6, "heads": 4, "dropout": 0.02, "hidden": 512, "n_places": 2048,
    }  # fmt: skip

    def __init__(self, config: GeneformerBackboneConfig) -> None:
        super().__init__(config, GeneformerNet(config.bert(config.n_genes + 2 * config.framed)))
        self.front = self.ends = int(config.framed)

    def parts(self, batch: CellBatch) -> Parts:
        """<cls> at the first place, <eos> behind the last visible gene, genes at the place of their rank."""
        rank, shown = self.ranks(batch)
        first, last = self.front + rank, self.config.n_places - 1
        h = self.net.embed_tokens(batch.genes, self.at(first, batch))
        left_out = shown & (first > last - self.ends)
        if not self.config.framed:
            return Parts(h[:, :0], h, left_out)
        end = (1 + shown.sum(dim=1)).clamp(max=last)
        place = torch.stack([torch.zeros_like(end), end], dim=1)
        index = torch.tensor(self.own_rows(), device=place.device).expand(place.shape)
        return Parts(self.net.embed_tokens(index, self.net.positions(place)), h, left_out)

    def own_rows(self) -> list[int]:
        """Rows of <cls> and <eos>."""
        return [self.config.n_genes, self.config.n_genes + 1] if self.config.framed else []

    def note_usual(self, counts: Float[Tensor, " genes"]) -> None:
        """Compare counts with these."""
        self.usual.copy_(counts)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScPRINTBackboneConfig(FoundationBackboneConfig):
    """Settings of scPRINT.

    Attributes
    ----------
    n_classes
        Tokens that stand for a cell, that of its depth aside.
    depth
        Whether the first token holds the depth of the cell.
    positions
        Whether genes have places on the genome; only a published file holds them.
    normalisation
        What becomes of counts: `"sum"` divides by the sum of the visible ones, `"log"` is log2(1 + count).
    """

    n_classes: int = 1
    depth: bool = True
    positions: bool = False
    normalisation: str = "log"

    def __post_init__(self) -> None:
        need_one_of(self.normalisation, NORMALISATIONS, name="normalisation")


@register_backbone("scprint")
class ScPRINTBackbone(FoundationBackbone):
    """scPRINT (Kalfon et al. 2025): genes with counts and places on the genome, tokens of the cell in front, pre-norm.

    A masked gene has an embedding of its own where that of the value would be.
    """

    config: ScPRINTBackboneConfig
    net: ScPRINTNet
    Config = ScPRINTBackboneConfig
    gene_table = "net.genes.weight"

    def __init__(self, config: ScPRINTBackboneConfig) -> None:
        sizes = ScPRINTConfig(
            n_genes=config.n_genes, n_classes=config.n_classes, dim=config.dim, layers=config.n_layers,
            heads=config.heads, hidden=config.width, depth=config.depth, positions=config.positions,
            normalisation=config.normalisation, n_context=config.n_genes,  # type: ignore[arg-type]  # checked
        )  # fmt: skip
        super().__init__(config, ScPRINTNet(sizes))
        self.front = self.net.front
        self.gene_rows = ("net.positions",) if config.positions else ()
        self.asked = nn.Parameter(torch.zeros(config.dim))

    def parts(self, batch: CellBatch) -> Parts:
        """Tokens of the cell with its total count, as the visible genes estimate it; then its genes."""
        counts = batch.values
        if self.config.normalisation == "log":
            counts = torch.log2(1 + counts)
        else:
            counts = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
        values = torch.where(batch.masked[..., None], self.asked, self.net.expr_encoder(counts[..., None]))
        return Parts(self.net.embed_cell(10 ** batch.depth[:, 0]), self.net.embed_genes(batch.genes, values))
