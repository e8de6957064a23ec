"""Putting two modalities into one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def pair(rna: AnnData, atac: AnnData) -> MuData:
    """Make a MuData that leaves the columns of its modalities where they are (the behaviour of mudata 0.4)."""
    from mudata import MuData, set_options

    with set_options(pull_on_update=False):
        return MuData({"rna": rna, "atac": atac})
