"""Stored networks of groups, and how targets in them are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core.checks import fail, listing, need_between, need_one_of
from ..get._read import stored
from ..grn.systems.groups import GroupNetworks

ACTIONS = ("antagonist", "agonist")
MOST_HOPS = 3


def networks_of(data: Any, key: str, rna: str) -> GroupNetworks:
    """The networks of all groups that `build_grn(method="pcnet")` stored."""
    found = stored(data, key, made_by="grs.tl.build_grn(adata, method='pcnet', groupby=...)", rna=rna)
    if "networks" not in found:
        raise fail(
            KeyError, "shifts need the networks of groups that method='pcnet' makes.", f"key={key!r} is another.",
            "run grs.tl.build_grn(adata, method='pcnet', groupby=...) and pass key='grn_pcnet'.",
        )  # fmt: skip
    return GroupNetworks.from_uns(found)


def targets_of(networks: GroupNetworks, genes: str | Sequence[str]) -> np.ndarray:
    """Places of genes in the networks, in the order in which they are named."""
    names = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
    unknown = [name for name in names if name not in networks.genes]
    if unknown or not names:
        raise fail(
            KeyError, "targets must be genes of the networks.", f"unknown {listing(unknown)} of {listing(names)}.",
            f"name genes such as {listing(networks.genes, 5)}.",
        )  # fmt: skip
    return networks.genes.get_indexer(names)


def need_action(action: str, n_hops: int) -> None:
    """Raise `ValueError` for what no score exists for."""
    need_one_of(action, ACTIONS, name="action")
    need_between(n_hops, 1, MOST_HOPS, name="n_hops")
