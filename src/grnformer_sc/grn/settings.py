"""Settings of the default method and its presets."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._core.checks import fail, need_between, need_one_of
from .._core.typing import Number
from .aucell import Norm
from .boosting import REGION_GENE, TF_GENE, BoostSettings
from .eregulons import EregulonSettings
from .region_gene import DECAY, WINDOW, Anchor
from .thresholds import CHOICES, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class InferSettings:
    """Settings of all stages; the defaults are the `default` preset.

    `window`, `anchor` and `decay` define the search space. With `contact` region -> gene links are ranked by importance x
    |rho| x distance weight, else by importance alone. With `self_links` every TF is its own best target. With `extended`
    motif hits by orthology or similarity count beside direct ones. `n_perm` permutations of each kind give the false
    discovery rates, and eRegulons above `max_fdr` are left out. `norm` is what AUCell divides by; `binarize` and
    `quantile` say how its thresholds are found.
    """

    eregulons: EregulonSettings = field(default_factory=EregulonSettings)
    region_gene: BoostSettings = REGION_GENE
    tf_gene: BoostSettings = TF_GENE
    window: int = WINDOW
    anchor: Anchor = "tss"
    decay: float = DECAY
    contact: bool = True
    self_links: bool = False
    extended: bool = True
    n_perm: int = 0
    max_fdr: Number = 1.0
    norm: Norm = "decoupler"
    binarize: Rule = "mixture"
    quantile: Number = 0.9

    def __post_init__(self) -> None:
        need_between(self.window, 0, float("inf"), name="window")
        need_between(self.n_perm, 0, 10_000, name="n_perm")
        need_between(self.max_fdr, 0, 1, name="max_fdr")
        need_one_of(self.binarize, CHOICES, name="binarize")
        need_between(self.quantile, 0, 1, name="quantile")
        if self.max_fdr < 1 and not self.n_perm:
            raise fail(
                ValueError, f"max_fdr={self.max_fdr:g} needs false discovery rates, which permutations give.",
                "n_perm=0.", "pass n_perm=10, or max_fdr=1 to keep all eRegulons.",
            )  # fmt: skip


PRESETS = {
    "default": InferSettings(),
    "scenicplus": InferSettings(
        eregulons=EregulonSettings(min_support=1, closed=True, basc="scenicplus"),
        window=150_000,
        anchor="body",
        contact=False,
        self_links=True,
        norm="pyscenic",
    ),
    "strict": InferSettings(eregulons=EregulonSettings(min_support=3), extended=False, n_perm=10, max_fdr=0.2),
}
