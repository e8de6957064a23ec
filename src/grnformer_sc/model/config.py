"""Frozen settings of the model, checked at birth and written to JSON as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from .._core.checks import fail, listing, need_between, need_one_of
from ..data.batch import TokenSpec
from ..data.gates import GateName
from ..nn.backbones import BackboneConfig, get_backbone
from ..nn.convolutions import CONVOLUTIONS
from ..nn.fusion import Scales
from .json_settings import JsonSettings, need_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(JsonSettings):
    """Size of the network and how it sees cells.

    The defaults suit a few thousand cells on a laptop; more cells carry a wider and deeper network.

    Attributes
    ----------
    backbone
        Registered name of the expression model: `"scgpt"`, `"scfoundation"`, `"scpalm"`, `"geneformer"`, `"genecompass"`,
        `"scgenept"`, `"scprint"`, or one of your own.
    backbone_settings
        Settings that only this backbone understands: the fields of its `Config`, such as `grs.nn.ScGPTConfig`.
    dim, layers, heads, dropout
        Width, transformer layers (the adapter replaces one more), attention heads, dropout.
    structure_layers, conv
        Layers of the structure encoder and their kind: `"sage"`, `"gcn"` or `"gin"`.
    scales, tie_scales
        Networks that are embedded: of cells (`"cell"`), of their types (`"type"`) or `"both"`, summed; by the same layers
        or by layers of their own.
    edge_weights
        Weigh links by their score (of mean 1 within each eRegulon of a group) instead of counting them alike.
    node_features
        `"gene"`: embedding of the gene and role as TF. `"gene+expression"` adds what the backbone made of the cell's
        unmasked genes.
    use_grn
        False gives the same model without the network: the control.
    gate
        Source of the bits: `"auto"`, `"region"`, `"neighbour"` or `"gene"` (leaks).
    keys
        Nodes that attention reads: TFs only or all genes of the network.
    beta
        Weight of the fused part: a number, or None to learn it from an output map of zeros.
    keep_ffn
        Keep the feed-forward part of the layer that the adapter replaces, after the adapter.
    attention_dropout
        Dropout of the adapter's attention weights.
    alpha, perturb, keep_degree
        Largest share of the edges replaced in each training step, by what, and whether every TF keeps its number of targets.
    swap_types
        Share of the training cells that get the network of another type, drawn anew in each epoch. A type's network is
        otherwise as good as its label, and a cell of a type that was never seen is then taken for one of the known types:
        give 0.2 where a model will meet new types.
    edge_prediction, consistency
        Weights of two further terms of the loss: links held out of the networks of types and predicted from structure; and
        agreement of the predictions from two perturbations of the edges. 0 leaves a term out.
    loss
        `"poisson"`: counts of all masked genes, zeros included, given the visible size factor. Counts are what is
        measured and most of them are 0 or 1, where ranks within a cell keep little. `"nb"`: the same with a dispersion per
        gene. `"mse"`: the backbone's own loss, the squared error of its values (scGPT: bins among the visible counts of the
        cell; the others: log counts per 10,000).
    mask_ratio, max_tokens, max_queries
        How a cell becomes tokens (`TokenSpec`).
    """

    backbone: str = "scgpt"
    backbone_settings: dict[str, Any] = field(default_factory=dict)
    dim: int = 32
    layers: int = 1
    heads: int = 2
    dropout: float = 0.1
    structure_layers: int = 1
    conv: Literal["sage", "gcn", "gin"] = "sage"
    scales: Scales = "both"
    tie_scales: bool = True
    edge_weights: bool = False
    node_features: Literal["gene", "gene+expression"] = "gene"
    use_grn: bool = True
    gate: GateName = "auto"
    keys: Literal["tf", "all"] = "all"
    beta: float | None = None
    keep_ffn: bool = False
    attention_dropout: float = 0.0
    alpha: float = 0.2
    perturb: Literal["coexpression", "random", "none"] = "coexpression"
    keep_degree: bool = False
    swap_types: float = 0.0
    edge_prediction: float = 0.0
    consistency: float = 0.0
    loss: Literal["poisson", "nb", "mse"] = "poisson"
    mask_ratio: float = 0.25
    max_tokens: int = 1024
    max_queries: int = 64

    def __post_init__(self) -> None:
        need_one_of(self.gate, ("auto", "region", "neighbour", "gene"), name="gate")
        need_one_of(self.keys, ("tf", "all"), name="keys")
        need_one_of(self.perturb, ("coexpression", "random", "none"), name="perturb")
        need_one_of(self.loss, ("poisson", "nb", "mse"), name="loss")
        need_one_of(self.conv, tuple(CONVOLUTIONS), name="conv")
        need_one_of(self.scales, ("both", "cell", "type"), name="scales")
        need_one_of(self.node_features, ("gene", "gene+expression"), name="node_features")
        need_between(self.alpha, 0, 1, name="alpha")
        need_between(self.swap_types, 0, 1, name="swap_types")
        need_between(self.dropout, 0, 0.9, name="dropout")
        need_between(self.attention_dropout, 0, 0.9, name="attention_dropout")
        need_at_least(self, 0, "edge_prediction", "consistency")
        need_at_least(self, 1, "dim", "layers", "heads", "structure_layers")
        if self.dim % self.heads:
            raise fail(
                ValueError, "dim must be a multiple of heads.", f"dim={self.dim}, heads={self.heads}.",
                f"give dim={self.heads * max(1, round(self.dim / self.heads))}.",
            )  # fmt: skip
        if self.mask_ratio == 0:
            raise fail(ValueError, "mask_ratio must be above 0.", "0.", "give mask_ratio=0.25.")
        _ = self.tokens

    @property
    def tokens(self) -> TokenSpec:
        """How a cell becomes tokens."""
        return TokenSpec(
            mask_ratio=self.mask_ratio,
            max_tokens=self.max_tokens,
            max_queries=self.max_queries,
            swap_types=self.swap_types if self.use_grn else 0.0,
            **self.backbone_config(1).tokens(),
        )

    def backbone_config(self, n_genes: int) -> BackboneConfig:
        """Settings of the backbone for a vocabulary of so many genes."""
        config = get_backbone(self.backbone).Config
        unknown = sorted(set(self.backbone_settings) - config.own_fields())
        if unknown:
            raise fail(
                TypeError, f"{self.backbone} has the settings {listing(sorted(config.own_fields()))}.",
                f"{listing(unknown)}.",
                "correct the names in backbone_settings; sizes that every backbone has are fields of ModelConfig.",
            )  # fmt: skip
        return config(
            n_genes=n_genes,
            dim=self.dim,
            layers=self.layers + 1,  # the adapter, or without a network the backbone's own layer, is the last one
            heads=self.heads,
            dropout=self.dropout,
            keep_last=not self.use_grn,
            keep_ffn=self.keep_ffn,
            value_head=self.loss == "mse",
            **self.backbone_settings,
        )

    def with_sizes(self, sizes: BackboneConfig) -> Self:
        """Take over the sizes of a backbone that exists."""
        own = {name: value for name, value in sizes.own_settings().items() if name not in sizes.of_file}
        return replace(
            self,
            dim=sizes.dim,
            layers=sizes.layers - 1,
            heads=sizes.heads,
            backbone_settings=own | self.backbone_settings,
        )

    def with_settings(self, own: Mapping[str, Any]) -> Self:
        """Set some settings of the backbone."""
        return replace(self, backbone_settings={**self.backbone_settings, **own})

    @classmethod
    def published(cls, backbone: str, **others: Any) -> Self:
        """Sizes of the published model, to be trained from scratch; `others` are further fields.

        Examples
        --------
        >>> import grnformer_sc as grs
        >>> config = grs.model.ModelConfig.published("scfoundation")
        >>> config.dim, config.layers + 1, config.backbone_settings["decoder_dim"]
        (768, 12, 512)
        """
        model = get_backbone(backbone)
        own = {name: value for name, value in model.published.items() if name in model.Config.own_fields()}
        sizes = {name: value for name, value in model.published.items() if name not in own}
        if not sizes:
            raise fail(
                ValueError,
                "this backbone needs published sizes.",
                f"{backbone!r} has none.",
                "name the sizes yourself.",
            )
        layers = sizes.pop("layers") - 1
        return cls(**{"backbone": backbone, "backbone_settings": own, "layers": layers, **sizes, **others})
