"""The grid as data: settings, data sets, which of them meet, and which pairs of settings are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

NetworkName = Literal["real", "random targets", "random", "planted"]
DEFAULT = "default"
SEEDS = tuple(range(10))


@dataclass(frozen=True, slots=True)
class Setting:
    """One model: what differs from the default.

    Attributes
    ----------
    name, factor
        What it is called, and what is varied.
    options
        Fields of `ModelConfig`.
    network
        The network that it sees (`networks.py`).
    scored_with
        Gate that replaces the trained one when held-out cells are scored.
    trained
        False for a trivial predictor (`trivial.py`), which has no model.
    """

    name: str
    factor: str
    options: dict[str, Any] = field(default_factory=dict)
    network: NetworkName = "real"
    scored_with: Literal["neighbour"] | None = None
    trained: bool = True


SETTINGS = (
    Setting("gene rate", "trivial", trained=False),
    Setting("type rate", "trivial", trained=False),
    Setting("PCA", "trivial", trained=False),
    Setting("AUC of eRegulons", "trivial", trained=False),
    Setting(DEFAULT, "default"),
    Setting("no network", "grn", {"use_grn": False}),
    Setting("random network", "grn", network="random"),
    Setting("random targets", "grn", network="random targets"),
    Setting("planted network", "grn", network="planted"),
    Setting("type networks", "grn", {"scales": "type"}),
    Setting("cell networks", "grn", {"scales": "cell"}),
    Setting("no swaps", "perturbation", {"perturb": "none"}),
    Setting("random swaps", "perturbation", {"perturb": "random"}),
    Setting("GCN", "convolution", {"conv": "gcn"}),
    Setting("GIN", "convolution", {"conv": "gin"}),
    Setting("gate neighbour", "gate", {"gate": "neighbour"}),
    Setting("gate gene", "gate", {"gate": "gene"}),
    Setting("gate gene, scored with neighbour", "gate", {"gate": "gene"}, scored_with="neighbour"),
    Setting("scFoundation", "backbone", {"backbone": "scfoundation"}),
    Setting("scFoundation, no network", "backbone", {"backbone": "scfoundation", "use_grn": False}),
    Setting("scPaLM", "backbone", {"backbone": "scpalm"}),
    Setting("scPaLM, no network", "backbone", {"backbone": "scpalm", "use_grn": False}),
)


@dataclass(frozen=True, slots=True)
class DataSet:
    """Cells, how they are split, and what runs on them. `epochs` is None where training ends by itself."""

    name: str
    split: Literal["cells", "batch"]
    factors: tuple[str, ...]
    epochs: int | None = None
    planted: bool = False


DATA = (
    DataSet(
        "simulated",
        "cells",
        ("trivial", "default", "grn", "perturbation", "convolution", "gate", "backbone"),
        planted=True,
    ),
    DataSet("cortex", "cells", ("trivial", "default", "grn"), epochs=8),
    DataSet("cortex", "batch", ("trivial", "default", "grn"), epochs=8),
)

# (factor, setting, beside): the difference is setting minus beside, on the same cells, split, masks and seed
CONTRASTS = (
    ("grn", DEFAULT, "no network"),
    ("grn", DEFAULT, "random network"),
    ("grn", DEFAULT, "random targets"),
    ("grn", "random network", "no network"),
    ("grn", "random targets", "no network"),
    ("grn", "planted network", DEFAULT),
    ("grn", "type networks", DEFAULT),
    ("grn", "cell networks", DEFAULT),
    ("perturbation", "no swaps", DEFAULT),
    ("perturbation", "random swaps", DEFAULT),
    ("convolution", "GCN", DEFAULT),
    ("convolution", "GIN", DEFAULT),
    ("gate", "gate neighbour", DEFAULT),
    ("gate", "gate gene", "gate neighbour"),
    ("gate", "gate gene, scored with neighbour", "gate neighbour"),
    ("backbone", "scFoundation", DEFAULT),
    ("backbone", "scFoundation", "scFoundation, no network"),
    ("backbone", "scPaLM", DEFAULT),
    ("backbone", "scPaLM", "scPaLM, no network"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the table of results."""

    data: DataSet
    setting: Setting
    seed: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from all others."""
        return self.data.name, self.data.split, self.setting.name, self.seed


def runs(seeds: tuple[int, ...] = SEEDS, only: tuple[str, ...] = ()) -> Iterator[Run]:
    """All runs, or those whose data set, split, factor or setting is named in `only`; the default belongs to each factor."""
    places = {name for data in DATA for name in names_of(data)}
    what = {name for setting in SETTINGS for name in (setting.factor, setting.name)}
    if unknown := set(only) - places - what:
        raise SystemExit(f"--only knows {sorted(places | what)}. Found: {sorted(unknown)}.")
    where, which = places & set(only) or places, what & set(only) or what
    for data in DATA:
        for seed in seeds if where & set(names_of(data)) else ():
            for setting in SETTINGS:
                fits = setting.factor in data.factors and (data.planted or setting.network != "planted")
                if fits and (setting.name == DEFAULT or which & {setting.factor, setting.name}):
                    yield Run(data, setting, seed)


def names_of(data: DataSet) -> tuple[str, str]:
    """Name of a data set, alone and with its split."""
    return data.name, f"{data.name} by {data.split}"
