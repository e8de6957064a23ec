"""Frozen settings of the model and of its training, checked at birth and written to JSON as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from .._core.checks import fail, listing, need_between, need_one_of
from ..data.batch import TokenSpec
from ..data.gates import GateName


class _Json:
    """Round trip through plain dictionaries of JSON types."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Fields as a dictionary."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a dictionary; an unknown field is an error that names the known ones."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise fail(
                TypeError, f"{cls.__name__} has the fields {listing(sorted(known), 40)}.", f"{listing(unknown)}.",
                "correct the spelling, or update grnformer-sc if a newer version wrote this file.",
            )  # fmt: skip
        return cls(**values)


def _need_at_least(config: object, low: float, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= low:
            raise fail(ValueError, f"{name} must be at least {low}.", f"{getattr(config, name)!r}.", f"raise {name}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(_Json):
    """Size of the network and how it sees cells.

    The defaults suit a few thousand cells on a laptop; more cells carry a wider and deeper network.

    Attributes
    ----------
    backbone
        Registered name of the expression model.
    dim, layers, heads, dropout
        Width, transformer layers (the adapter replaces one more), attention heads, dropout.
    structure_layers
        GraphSAGE layers of the structure encoder.
    use_grn
        False gives the same model without the network: the control.
    gate
        Source of the bits: `"auto"`, `"region"`, `"neighbour"` or `"gene"` (leaks).
    keys
        Nodes that attention reads: TFs only or all genes of the network.
    beta
        Weight of the fused part: a number, or None to learn it from 0.
    alpha, perturb
        Share of the edges replaced in each training step, and by what.
    loss
        `"poisson"`: counts of all masked genes, zeros included, given the visible size factor. Counts are what is
        measured and most of them are 0 or 1, where ranks within a cell (scGPT's `"mse"` on bins) keep little.
    mask_ratio, max_tokens, max_queries, n_bins
        How a cell becomes tokens (`TokenSpec`).
    """

    backbone: str = "scgpt"
    dim: int = 32
    layers: int = 1
    heads: int = 2
    dropout: float = 0.1
    structure_layers: int = 1
    use_grn: bool = True
    gate: GateName = "auto"
    keys: Literal["tf", "all"] = "all"
    beta: float | None = None
    alpha: float = 0.2
    perturb: Literal["coexpression", "random", "none"] = "coexpression"
    loss: Literal["poisson", "mse"] = "poisson"
    mask_ratio: float = 0.25
    max_tokens: int = 1024
    max_queries: int = 64
    n_bins: int = 51

    def __post_init__(self) -> None:
        need_one_of(self.gate, ("auto", "region", "neighbour", "gene"), name="gate")
        need_one_of(self.keys, ("tf", "all"), name="keys")
        need_one_of(self.perturb, ("coexpression", "random", "none"), name="perturb")
        need_one_of(self.loss, ("poisson", "mse"), name="loss")
        need_between(self.alpha, 0, 1, name="alpha")
        need_between(self.dropout, 0, 0.9, name="dropout")
        _need_at_least(self, 1, "dim", "layers", "heads", "structure_layers")
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
            n_bins=self.n_bins,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(_Json):
    """How the model is trained.

    Attributes
    ----------
    max_epochs
        Passes over the training cells; None takes as many as give about 400 steps, between 5 and 100.
    batch_size
        Cells per step.
    train_size
        Share of the cells that is trained on; the rest is the validation set.
    lr, weight_decay
        AdamW.
    schedule, warmup
        Learning rate after a linear warm-up over this share of the steps.
    grad_clip
        Largest norm of the gradient.
    early_stopping, patience
        Stop when the validation loss has not improved for this many epochs; the best weights are kept.
    precision, strategy
        Passed to Lightning.
    """

    max_epochs: int | None = None
    batch_size: int = 64
    train_size: float = 0.9
    lr: float = 3e-3
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.05
    grad_clip: float = 1.0
    early_stopping: bool = True
    patience: int = 5
    precision: str = "32-true"
    strategy: str = "auto"

    def __post_init__(self) -> None:
        need_one_of(self.schedule, ("cosine", "constant"), name="schedule")
        need_between(self.train_size, 0, 1, name="train_size")
        need_between(self.warmup, 0, 1, name="warmup")
        _need_at_least(self, 1, "batch_size", "patience")
        if self.max_epochs is not None:
            _need_at_least(self, 1, "max_epochs")
        if self.train_size == 0 or self.lr <= 0:
            raise fail(
                ValueError, "train_size and lr must be above 0.", f"{self.train_size}, {self.lr}.",
                "give train_size=0.9, lr=1e-3.",
            )  # fmt: skip

    def epochs(self, n_train: int) -> int:
        """Number of epochs for so many training cells."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps = -(-n_train // self.batch_size)
        return min(100, max(5, round(400 / steps)))
