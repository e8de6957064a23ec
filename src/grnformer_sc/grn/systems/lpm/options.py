"""Options of `build_grn(method="lpm")`."""

from __future__ import annotations

from dataclasses import dataclass

from ...._core.checks import need_between, need_one_of

MOST = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class LpmOptions:
    """What the model is told about the cells, and which of its predictions become links.

    Attributes
    ----------
    perturbation_key
        Column of obs with the gene that is perturbed in every cell, or `control`.
    context_key
        Column of obs with the context (day, donor, cell line); `None` makes one context.
    control
        Label of the control cells.
    action
        `"loss"` (knock-out, interference) or `"gain"` (activation): decides the sign of a link.
    top
        Links of a perturbed gene: its largest predicted changes.
    min_cells
        Cells that a perturbation needs in a context.
    epochs, batch_size
        As in `model.LPMConfig`.
    device
        torch device; `"auto"` takes a GPU where there is one.
    """

    perturbation_key: str
    context_key: str | None = None
    control: str = "control"
    action: str = "loss"
    top: int = 50
    min_cells: int = 5
    epochs: int = 50
    batch_size: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        need_one_of(self.action, ("loss", "gain"), name="action")
        need_between(self.top, 1, MOST, name="top")
        need_between(self.min_cells, 2, MOST, name="min_cells")
        need_between(self.epochs, 1, MOST, name="epochs")
        if self.batch_size is not None:
            need_between(self.batch_size, 1, MOST, name="batch_size")
