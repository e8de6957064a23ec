"""What scvi-tools notes in the AnnData of a model, taken back when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData

NOTES = ("_scvi_uuid", "_scvi_manager_uuid")


@contextmanager
def undone_by_errors(adata: AnnData) -> Iterator[None]:
    """Leave the notes as they were when the block fails."""
    before = {name: adata.uns[name] for name in NOTES if name in adata.uns}
    try:
        yield
    except BaseException:
        for name in NOTES:
            adata.uns.pop(name, None)
        adata.uns.update(before)
        raise
