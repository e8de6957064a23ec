"""What a leaderboard is made of: runs of methods, baselines and controls on one split, and how each is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

Kind: TypeAlias = Literal["ours", "baseline", "control", "ceiling"]
Network: TypeAlias = Literal["", "own", "none", "rewired", "permuted"]

COLLAPSE = (
    "spread"  # metric by which a collapsed method is found: sd of the predictions of an item over sd of its truth
)
LEAST_REWIRED = 10  # random networks beside every method that uses one


@dataclass(frozen=True, slots=True)
class Run:
    """One line of work: a method, with a network where it uses one, and a seed.

    Attributes
    ----------
    method
        Name as shown.
    kind
        `"ours"`, a trivial `"baseline"`, a `"control"` of ours with another network, or the `"ceiling"` of the data.
    network
        `""` (the method uses none), `"own"`, and for controls `"none"`, `"rewired"` (same degrees) or `"permuted"` (same
        graph, other names).
    seed
        Of the method and of its random network.
    """

    method: str
    kind: Kind
    network: Network = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A leaderboard before it is filled.

    Attributes
    ----------
    name
        The task.
    data, split
        Hashes of the cells and of who is held out (`fingerprint`).
    headline
        Metric by which methods are ranked; more is better.
    item
        What is drawn anew for intervals: perturbation, drug, cell line.
    runs
        All runs, in the order in which they are made.
    measure
        Carries a run out and returns a table with `item`, `metric`, `value`: numbers of every item, among them the
        headline and `"spread"` (sd of the item's predictions over sd of its truth).
    """

    name: str
    data: str
    split: str
    headline: str
    item: str
    runs: tuple[Run, ...]
    measure: Callable[[Run], pd.DataFrame]


def with_controls(method: str, *, n_rewired: int = LEAST_REWIRED, seed: int = 0) -> tuple[Run, ...]:
    """List the runs of a method that uses a network: its own, none, one of other names, and random ones.

    Parameters
    ----------
    method
        Name of the method.
    n_rewired
        Networks of the same degrees; `grs.bench.report` asks for ten.
    seed
        Of the method, and of the first random network; the others count on from it.

    Returns
    -------
    Runs: `own`, `none`, `permuted`, then `rewired` ones.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> [run.network for run in grs.bench.with_controls("ours", n_rewired=2)]
    ['own', 'none', 'permuted', 'rewired', 'rewired']
    """
    rewired = tuple(Run(method, "control", "rewired", seed + number) for number in range(n_rewired))
    others = (Run(method, "control", "none", seed), Run(method, "control", "permuted", seed))
    return (Run(method, "ours", "own", seed), *others, *rewired)


def fingerprint(parts: Iterable[Any]) -> str:
    """Hash what a table is about, the same on every machine and for any sparse format of the same numbers.

    Parameters
    ----------
    parts
        Arrays, sparse matrices, tables, text or numbers; their order counts.

    Returns
    -------
    16 hexadecimal digits of SHA-256.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.bench.fingerprint(["cells.h5ad", [1, 2, 3]]) == grs.bench.fingerprint(["cells.h5ad", [1, 2, 4]])
    False
    """
    state = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            state.update(piece)
            state.update(b"\x1f")
    return state.hexdigest()[:16]


def _pieces(part: Any) -> Iterator[bytes]:
    if sp.issparse(part):
        csr = sp.csr_matrix(part)
        csr.sum_duplicates()
        yield from (piece for array in (csr.shape, csr.indptr, csr.indices, csr.data) for piece in _pieces(array))
    elif isinstance(part, pd.DataFrame):
        yield from (piece for name in part for piece in (str(name).encode(), *_pieces(part[name])))
    else:
        values = np.asarray(part)
        number = values.dtype.kind in "biuf"
        yield repr(values.shape).encode()
        yield (values.astype(np.float64).tobytes() if number else "\x1e".join(values.astype(str).ravel()).encode())
