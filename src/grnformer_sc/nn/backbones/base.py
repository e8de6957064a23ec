"""What an expression model must offer to become a backbone, and the registry that names them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..._core.checks import fail, listing
from ..batch import CellBatch
from .published import Published


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneConfig:
    """Sizes that every backbone understands; a backbone's own ones are fields of its subclass.

    Attributes
    ----------
    n_genes
        Genes of the vocabulary.
    dim, heads, dropout
        Width, attention heads, dropout.
    layers
        All layers, the one that an adapter may replace included.
    keep_last
        Build that last layer (False where an adapter takes its place).
    keep_ffn
        Build the feed-forward part of that layer even so.
    value_head
        Build the backbone's own prediction of values.
    """

    n_genes: int
    dim: int = 64
    layers: int = 3
    heads: int = 4
    dropout: float = 0.1
    keep_last: bool = True
    keep_ffn: bool = False
    value_head: bool = True
    of_file: ClassVar[tuple[str, ...]] = ()  # settings that describe a published file, not a model made from it

    @property
    def n_layers(self) -> int:
        """Layers that are built."""
        return self.layers if self.keep_last else self.layers - 1

    def tokens(self) -> dict[str, Any]:
        """Choices of `grs.data.TokenSpec` that the backbone depends on."""
        return {}

    @classmethod
    def own_fields(cls) -> set[str]:
        """Names of the settings that only this backbone understands."""
        return {f.name for f in fields(cls)} - {f.name for f in fields(BackboneConfig)}

    def own_settings(self) -> dict[str, Any]:
        """Values of the settings that only this backbone understands."""
        return {name: getattr(self, name) for name in sorted(self.own_fields())}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Cells inside a backbone. The first places stand for the cell as a whole.

    Attributes
    ----------
    h
        Embeddings.
    silent
        Places that nobody attends to.
    unread
        First and last (exclusive) place that nothing reads after the last layer when only masked genes are asked for.
    loss
        Loss that came up on the way.
    """

    h: Float[Tensor, "cells places dim"]
    silent: Bool[Tensor, "cells places"]
    unread: tuple[int, int] = (0, 0)
    loss: Float[Tensor, ""] | None = None

    def with_h(self, h: Float[Tensor, "cells places dim"]) -> Encoded:
        """Put other embeddings in the same places."""
        return replace(self, h=h)


@dataclass(frozen=True, slots=True)
class Read:
    """What a backbone reads out: every token of the batch, the cell, and what its own further losses need."""

    tokens: Float[Tensor, "cells tokens out_dim"]
    cells: Float[Tensor, "cells dim"]
    extra: Mapping[str, Tensor] = field(default_factory=dict)


def built(part: nn.Module | None, setting: str) -> nn.Module:
    """Part of a backbone that its settings may leave out."""
    if part is None:
        raise fail(ValueError, "this part of the backbone must be built.", f"{setting} is off.", f"turn {setting} on.")
    return part


class Backbone(nn.Module, ABC):
    """An expression model: embeds the genes and values of cells, encodes them, reads masked genes and cells out.

    A subclass names its settings (`Config`) and, where there is a public checkpoint, its `files` and how to `read_published`
    them. The parameter `gene_table` holds one row per gene, then the rows of the backbone's own tokens.
    """

    Config: ClassVar[type[BackboneConfig]]
    gene_table: ClassVar[str]
    gene_rows: tuple[str, ...] = ()  # further entries of the state with one row per gene
    files: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[Mapping[str, Any]] = {}
    typical: float = 1.0  # a middle value on the backbone's scale

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config: BackboneConfig = config
        self.dim = config.dim

    @property
    def out_dim(self) -> int:
        """Width of the tokens that are read out."""
        return self.dim

    @abstractmethod
    def embed(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Encoded:
        """Embed genes and values; `silent` tokens are attended to by nobody."""

    @abstractmethod
    def encode(self, x: Encoded) -> Encoded:
        """Run all layers before the one that an adapter replaces."""

    @abstractmethod
    def last_layer(self, x: Encoded) -> Encoded:
        """Run the layer that an adapter replaces (only where it was built)."""

    def feed_forward(self, x: Encoded) -> Encoded:
        """Run the feed-forward part of that layer alone (only with `keep_ffn`)."""
        raise fail(
            ValueError, f"{type(self).__name__} needs a feed-forward part that can stand alone.", "keep_ffn is on.",
            "leave keep_ffn off.",
        )  # fmt: skip

    @abstractmethod
    def read(self, x: Encoded, batch: CellBatch) -> Read:
        """Read tokens and cells out after the last layer or the adapter."""

    @abstractmethod
    def places(self, batch: CellBatch) -> Int[Tensor, "cells tokens"]:
        """Place of every token of the batch; -1 for tokens that have none before the read-out."""

    @abstractmethod
    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predict values on the backbone's own scale (only with `value_head`)."""

    @abstractmethod
    def values(self, counts: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts of the cells on the backbone's scale, which no masked count may move."""

    @abstractmethod
    def counts(self, values: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts that values on the backbone's scale stand for."""

    @abstractmethod
    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene of the vocabulary (the parameter itself)."""

    def extra_loss(self, extra: Mapping[str, Tensor], batch: CellBatch) -> Float[Tensor, ""]:
        """Sum of the further losses of the backbone; the place, beside the main loss, that may read masked counts."""
        return batch.log_size.new_zeros(())

    @classmethod
    def read_published(cls, path: Path, *, strict: bool = True, **options: Any) -> Published[Backbone]:
        """Read a published checkpoint."""
        raise fail(
            ValueError, f"{cls.__name__} needs a public checkpoint format.", f"{path}; there is none.",
            "train from scratch (checkpoint=None), or give the backbone that wrote the file.",
        )  # fmt: skip

    def note_usual(self, counts: Float[Tensor, " genes"]) -> None:
        """Take note of the mean counts of genes in the training cells, for backbones that compare with them."""

    @classmethod
    def settings_for(cls, width: int) -> dict[str, Any]:
        """Settings that a gene embedding of this width needs."""
        return {}

    def take_embedding(self, embedding: Float[Tensor, "genes width"]) -> None:
        """Start the gene table from an embedding, turned to its principal components.

        As many components as the table has columns are taken, more columns are 0, and all are scaled by one number to the
        mean square of the table. Cosines of centred embeddings are so kept where the width suffices.
        """
        table = self.gene_embedding()
        spread = table.square().mean().sqrt()
        table.copy_(components(embedding, table.shape[1]).to(table))
        table.mul_(spread / table.square().mean().sqrt().clamp(min=1e-12))

    def own_rows(self) -> list[int]:
        """Rows of `gene_table` that are no genes, in the order in which they follow the genes of a new vocabulary."""
        return []


def components(x: Float[Tensor, "rows width"], n: int) -> Float[Tensor, "rows n"]:
    """First `n` principal components of some rows, largest first; columns beyond those that exist are 0.

    The sign of a component is that with which its largest loading is above 0.
    """
    x = x.double()
    x = x - x.mean(dim=0)
    _, axes = torch.linalg.eigh(x.T @ x)
    axes = axes.flip(1)[:, :n]
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    return torch.nn.functional.pad(x @ axes, (0, n - axes.shape[1]))


def first_query(batch: CellBatch) -> int:
    """Position from which on all tokens are masked genes (they come last)."""
    n_tokens = batch.masked.shape[1]
    return n_tokens - int(batch.masked.flip(1).all(dim=0).cumprod(0).sum()) if n_tokens else 0


def masked_error(prediction: Tensor, target: Tensor, masked: Tensor) -> Tensor:
    """Mean squared error of the masked tokens; 0 where none is masked."""
    if not masked.any():
        return prediction.sum() * 0
    return torch.nn.functional.mse_loss(prediction[masked], target[masked])


B = TypeVar("B", bound=type[Backbone])
_REGISTRY: dict[str, type[Backbone]] = {}


def register_backbone(name: str) -> Callable[[B], B]:
    """Make a backbone class available by name."""

    def register(cls: B) -> B:
        _REGISTRY[name] = cls
        return cls

    return register


def registered_backbones() -> dict[str, type[Backbone]]:
    """All backbones by name."""
    from ..foundation import trainable  # noqa: F401  (registers its own; it builds on this module)

    return dict(_REGISTRY)


def get_backbone(name: str) -> type[Backbone]:
    """Class of a registered backbone."""
    known = registered_backbones()
    if name not in known:
        raise fail(
            KeyError, "a backbone must be registered.", f"{name!r}; registered {listing(sorted(known), len(known))}.",
            "choose one of them or register yours with register_backbone.",
        )  # fmt: skip
    return known[name]
