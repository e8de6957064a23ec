"""The networks that a tool is asked to take together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core.checks import fail, listing
from .._core.tables import EDGE_COLUMNS
from ..priors import read_network

if TYPE_CHECKING:
    from anndata import AnnData

FEWEST = 2


def edges_of_networks(
    rna: AnnData, networks: Sequence[str] | Mapping[str, Any] | None, *, leave_out: str = ""
) -> dict[str, pd.DataFrame]:
    """Edge tables by name: networks stored in the RNA, tables or files; by default all stored ones but `leave_out`."""
    stored = stored_networks(rna)
    if networks is None:
        networks = [key for key in stored if key != leave_out]
    if isinstance(networks, str):
        raise fail(
            TypeError, "networks is a list of base names or a dictionary.", f"the text {networks!r}.",
            f"write networks=[{networks!r}, ...].",
        )  # fmt: skip
    named = networks if isinstance(networks, Mapping) else {name: name for name in networks}
    if len(named) < FEWEST:
        raise fail(
            ValueError, f"at least {FEWEST} networks are needed.", f"{len(named)}; stored are {listing(stored)}.",
            "make another with grs.tl.build_grn(method=...), or pass tables in a dictionary.",
        )  # fmt: skip
    return {str(name): edges_of(source, stored) for name, source in named.items()}


def stored_networks(rna: AnnData) -> dict[str, pd.DataFrame]:
    """Edge tables of all networks in `uns`, by base name."""
    return {key: value["edges"] for key, value in rna.uns.items() if _is_network(value)}


def _is_network(value: Any) -> bool:
    return isinstance(value, Mapping) and "edges" in value and "eregulons" in value


def edges_of(source: Any, stored: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Edge table of one network: stored under a base name, a table, or a file."""
    if isinstance(source, str) and source in stored:
        return stored[source]
    if isinstance(source, pd.DataFrame) and list(source.columns) == list(EDGE_COLUMNS):
        return source
    if isinstance(source, str) and "." not in source:
        raise fail(
            KeyError, f"{source!r} must be a network in adata.uns.", f"{listing(stored)}.",
            "run grs.tl.build_grn(key_added=...) first, or pass a table or file.",
        )  # fmt: skip
    return read_network(source)
