"""The grid as data: settings, data sets, which of them meet, and which pairs of settings are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

NetworkName = Literal["real", "random targets", "random", "planted", "random planted"]
DEFAULT = "default"
MANY, FEW = 10, 5  # seeds of the headline (the network against none and chance) and of the rest
SEEDS = tuple(range(MANY))


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
    n_seeds
        The first so many seeds are run.
    """

    name: str
    factor: str
    options: dict[str, Any] = field(default_factory=dict)
    network: NetworkName = "real"
    scored_with: Literal["neighbour"] | None = None
    trained: bool = True
    n_seeds: int = FEW


SETTINGS = (
    Setting("gene rate", "trivial", trained=False, n_seeds=MANY),
    Setting("type rate", "trivial", trained=False, n_seeds=MANY),
    Setting("PCA", "trivial", trained=False, n_seeds=MANY),
    Setting("AUC of eRegulons", "trivial", trained=False, n_seeds=MANY),
    Setting(DEFAULT, "default", n_seeds=MANY),
    Setting("no network", "grn", {"use_grn": False}, n_seeds=MANY),
    Setting("random network", "grn", network="random", n_seeds=MANY),
    Setting("random targets", "grn", network="random targets"),
    Setting("planted network", "grn", network="planted", n_seeds=MANY),
    Setting("random planted network", "grn", network="random planted", n_seeds=MANY),
    Setting("type networks", "grn", {"scales": "type"}),
    Setting("cell networks", "grn", {"scales": "cell"}),
    Setting("no swaps", "perturbation", {"perturb": "none"}),
    Setting("random swaps", "perturbation", {"perturb": "random"}),
    Setting("types swapped", "types", {"swap_types": 0.2}, n_seeds=MANY),
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
    """Cells and what runs on them. All settings train equally long.

    Attributes
    ----------
    name, split
        Which cells, and whether single cells, whole batches or whole cell types are held out.
    only
        Factors and settings that are run.
    held_out
        Share of the cells, of the batches or of the types.
    epochs
        How long is trained.
    n_seeds
        The first so many seeds are run, of each setting not more than its own number.
    """

    name: str
    split: Literal["cells", "batch", "type"]
    only: tuple[str, ...]
    held_out: float
    epochs: int
    n_seeds: int = MANY


HEADLINE = ("trivial", DEFAULT, "no network", "random network")
PLANTED = ("planted network", "random planted network")
NETWORKS = (*HEADLINE, "random targets", "type networks", "cell networks", "types")
NEW_TYPES = ("gene rate", "PCA", DEFAULT, "no network", "random network", "types")
DATA = (
    DataSet(
        "simulated",
        "cells",
        ("trivial", DEFAULT, "grn", "perturbation", "types", "convolution", "gate", "backbone"),
        0.6,
        epochs=20,
    ),
    DataSet("simulated", "type", NEW_TYPES, held_out=0.4, epochs=20),
    DataSet("simulated small", "cells", (*HEADLINE, *PLANTED), held_out=0.6, epochs=30),
    DataSet("simulated deep", "cells", (*HEADLINE, "random targets", *PLANTED), held_out=0.4, epochs=15),
    DataSet("cortex", "cells", NETWORKS, held_out=0.5, epochs=6, n_seeds=FEW),
    DataSet("cortex", "batch", HEADLINE, held_out=0.5, epochs=6, n_seeds=FEW),
    DataSet("cortex", "type", NEW_TYPES, held_out=0.4, epochs=6, n_seeds=FEW),
)

# (factor, setting, beside): the difference is setting minus beside, on the same cells, split, masks and seed
CONTRASTS = (
    ("grn", DEFAULT, "no network"),
    ("grn", DEFAULT, "random network"),
    ("grn", DEFAULT, "random targets"),
    ("grn", "random network", "no network"),
    ("grn", "random targets", "no network"),
    ("grn", "planted network", "no network"),
    ("grn", "planted network", "random planted network"),
    ("grn", "planted network", DEFAULT),
    ("grn", "type networks", DEFAULT),
    ("grn", "cell networks", DEFAULT),
    ("perturbation", "no swaps", DEFAULT),
    ("perturbation", "random swaps", DEFAULT),
    ("types", "types swapped", DEFAULT),
    ("types", "types swapped", "no network"),
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
        msg = f"--only knows {sorted(places | what)}. Found: {sorted(unknown)}."
        raise SystemExit(msg)
    where, which = places & set(only) or places, what & set(only) or what
    for data in DATA:
        for place, seed in enumerate(seeds if where & set(names_of(data)) else ()):
            for setting in SETTINGS:
                fits = {setting.factor, setting.name} & set(data.only)
                enough = place >= min(setting.n_seeds, data.n_seeds)
                if fits and not enough and (setting.name == DEFAULT or which & {setting.factor, setting.name}):
                    yield Run(data, setting, seed)


def names_of(data: DataSet) -> tuple[str, str]:
    """Name of a data set, alone and with its split."""
    return data.name, f"{data.name} by {data.split}"
