"""Rows read in blocks: the same values from every kind of storage, and each part of a file once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import zarr

from grnformer_sc._core.inputs import open_rows
from grnformer_sc._core.rows import Rows, as_rows, members, row_sums
from grnformer_sc.grn.metacells import pool

N_CELLS, N_GENES = 53, 17
COUNTS = np.random.default_rng(0).poisson(0.5, (N_CELLS, N_GENES)).astype(np.float32)
KINDS = ("csr", "csc", "dense", "h5ad", "h5ad csc", "h5ad dense", "zarr", "dask csr", "dask dense", "lazy")


def stored(kind: str, folder: Path) -> ad.AnnData:
    """The counts as AnnData of one kind of storage."""
    layout = sp.csc_matrix if "csc" in kind else np.asarray if "dense" in kind else sp.csr_matrix
    adata = ad.AnnData(layout(COUNTS))
    if kind.startswith("h5ad"):
        adata.write_h5ad(folder / "x.h5ad")
        return ad.read_h5ad(folder / "x.h5ad", backed="r")
    if kind in ("zarr", "lazy"):
        adata.write_zarr(folder / "x.zarr")
        if kind == "lazy":
            return ad.experimental.read_lazy(folder / "x.zarr")
        on_disk = ad.io.sparse_dataset(zarr.open(folder / "x.zarr", mode="r")["X"])
        return ad.AnnData(on_disk, obs=adata.obs, var=adata.var)
    if kind.startswith("dask"):
        chunks = da.from_array(COUNTS, chunks=(20, N_GENES))
        return ad.AnnData(chunks.map_blocks(sp.csr_matrix) if kind == "dask csr" else chunks)
    return adata


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")  # anndata's own default
def test_every_storage_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    rows = open_rows(stored(kind, tmp_path), None, what="RNA")
    assert rows.shape == COUNTS.shape
    np.testing.assert_array_equal(rows.to_memory().toarray(), COUNTS)
    for size in (1, 7, 100):
        found = list(rows.blocks(size))
        assert [first for first, _ in found] == np.cumsum([0, *(part.shape[0] for _, part in found[:-1])]).tolist()
        assert max(part.shape[0] for _, part in found) <= size
        assert all(part.has_sorted_indices and part.dtype == np.float32 for _, part in found)
        np.testing.assert_array_equal(np.concatenate([part.toarray() for _, part in found]), COUNTS)
    sums, n_values = row_sums(rows)
    np.testing.assert_array_equal(sums, COUNTS.sum(axis=1))
    assert n_values == (COUNTS > 0).sum()
    some = np.array([0, 5, 6, 52])
    np.testing.assert_array_equal(rows.take(some).toarray(), COUNTS[some])
    weights = sp.random(4, N_CELLS, density=0.1, format="csr", rng=np.random.default_rng(1), dtype=np.float32)
    np.testing.assert_allclose(rows.weighted(weights).toarray(), weights.toarray() @ COUNTS, rtol=1e-6)


def test_columns_come_in_the_order_asked_for() -> None:
    order = np.random.default_rng(2).permutation(N_GENES)
    rows = Rows(sp.csr_matrix(COUNTS), order)
    np.testing.assert_array_equal(rows.to_memory().toarray(), COUNTS[:, order])
    assert rows.to_memory().has_sorted_indices
    np.testing.assert_array_equal(rows.take(np.array([3])).toarray(), COUNTS[[3]][:, order])


def test_an_absent_column_is_empty_in_rows_and_in_their_sums() -> None:
    order = np.array([4, -1, 0, -1])
    expected = np.where(order < 0, 0, COUNTS[:, order])
    rows = Rows(sp.csr_matrix(COUNTS), order)
    np.testing.assert_array_equal(rows.to_memory().toarray(), expected)
    np.testing.assert_array_equal(rows.take(np.array([7, 2, 7])).toarray(), expected[[7, 2, 7]])
    labels = np.arange(N_CELLS) % 3 - 1
    sums = np.stack([expected[labels == label].sum(axis=0) for label in (0, 1)])
    np.testing.assert_array_equal(pool(rows, labels, 2).toarray(), sums)
    np.testing.assert_array_equal((members(labels, 2) @ rows.to_memory()).toarray(), sums)


def test_wrapping_drops_stored_zeros_and_leaves_the_input() -> None:
    x = sp.csr_matrix((np.array([0, 5.0]), ([0, 1], [0, 1])), shape=(2, 2))
    assert as_rows(x).to_memory().nnz == 1
    assert x.nnz == 2


def test_partitions_of_dask_are_computed_once() -> None:
    computed: list[int] = []

    def load(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"][0])
        return block

    source = da.from_array(COUNTS, chunks=(20, N_GENES)).map_blocks(load, dtype=COUNTS.dtype)
    computed.clear()
    assert sum(part.shape[0] for _, part in Rows(source).blocks(3)) == N_CELLS
    assert computed == [0, 1, 2]


def test_unknown_chunks_of_dask_are_named() -> None:
    adata = ad.AnnData(da.from_array(COUNTS, chunks=(20, N_GENES)))
    source = adata.X
    source._chunks = ((np.nan,) * 3, (N_GENES,))  # what a filter leaves
    holder = SimpleNamespace(X=source, layers={}, var_names=adata.var_names)
    with pytest.raises(ValueError, match=r"chunks must be known.*compute_chunk_sizes"):
        open_rows(holder, None, what="RNA")


def test_values_on_disk_are_checked_as_they_are_read(tmp_path: Path) -> None:
    ad.AnnData(sp.csr_matrix(COUNTS * 0.3)).write_h5ad(tmp_path / "x.h5ad")
    rows = open_rows(ad.read_h5ad(tmp_path / "x.h5ad", backed="r"), None, what="RNA")
    with pytest.raises(ValueError, match=r"RNA \(\.X\) must be raw counts"):
        row_sums(rows)
