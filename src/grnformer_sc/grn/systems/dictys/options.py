"""Options of `build_grn(method="dictys")`."""

from __future__ import annotations

from dataclasses import dataclass

from ...._core.checks import fail, need_between
from ...._core.typing import Number

MOST = float("inf")
FEWEST_CELLS = 50  # of a group


@dataclass(frozen=True, slots=True, kw_only=True)
class DictysOptions:
    """What Dictys is told about candidate links and windows, and how it is trained.

    Attributes
    ----------
    n_tfs
        TFs at most that can regulate a gene, those with the strongest evidence.
    n_genes
        Genes of a model at most: TFs, then the genes that vary most; `None` takes all.
    min_counts, min_cells
        Counts, and cells with any, that a gene needs in a group or window.
    most_cells
        Cells of a group at most, drawn at random where there are more.
    time_key
        Column of obs with pseudotime or time; every group is then also cut into windows along it.
    window, overlap
        Cells of a window, and how many of them the next one shares.
    steps, lr, lr_decay
        Steps of Adam, learning rate, and its factor from step to step.
    warmup
        Share of the steps in which the weight of the steady state rises to `scale`, from 1 and by equal factors; 0 is the
        original.
    scale
        Weight of the steady state in the loss.
    device
        torch device; `"auto"` takes a GPU where there is one.
    """

    n_tfs: int = 20
    n_genes: int | None = 1000
    min_counts: int = 50
    min_cells: int = 10
    most_cells: int = 5000
    time_key: str | None = None
    window: int = 1000
    overlap: int = 875
    steps: int = 4000
    lr: Number = 0.01
    lr_decay: Number = 0.999
    warmup: Number = 0.5
    scale: Number = 1e5
    device: str = "auto"

    def __post_init__(self) -> None:
        need_between(self.n_tfs, 1, MOST, name="n_tfs")
        if self.n_genes is not None:
            need_between(self.n_genes, 3, MOST, name="n_genes")
        need_between(self.min_counts, 1, MOST, name="min_counts")
        need_between(self.min_cells, 1, MOST, name="min_cells")
        need_between(self.most_cells, 50, MOST, name="most_cells")
        need_between(self.window, 50, MOST, name="window")
        need_between(self.overlap, 0, self.window - 1, name="overlap")
        need_between(self.steps, 1, 10**7, name="steps")
        for name, low, high in (("lr", 1e-9, 10), ("lr_decay", 1e-9, 1), ("warmup", 0, 1), ("scale", 1, 1e12)):
            need_between(getattr(self, name), low, high, name=name)
        if self.window > self.most_cells:
            raise fail(
                ValueError, "a window is not larger than most_cells.", f"{self.window} and {self.most_cells}.",
                "raise most_cells, or take smaller windows.",
            )  # fmt: skip
