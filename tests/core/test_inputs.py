"""Reading the user's objects: right cells in the right order, named errors, nothing written."""

from __future__ import annotations

import warnings
from typing import Any

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from grnformer_sc._core.inputs import ALL_CELLS, find_group, open_rows, read_counts, resolve

BARCODES = ["ACGTACGTAA", "ACGTACGTCC", "ACGTACGTGG"]


def part(names: list[str], n_vars: int = 2) -> AnnData:
    values = np.arange(len(names) * n_vars, dtype=np.float32).reshape(len(names), n_vars)
    obs, var = pd.DataFrame(index=names), pd.DataFrame(index=[f"v{i}" for i in range(n_vars)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata warns about repeated names, we refuse them
        return AnnData(sp.csr_matrix(values), obs=obs, var=var)


def joined(rna: AnnData, atac: AnnData) -> Any:
    atac.var_names = [f"region_{name}" for name in atac.var_names]
    with mudata.set_options(pull_on_update=False):
        return mudata.MuData({"rna": rna, "atac": atac})


def test_the_three_kinds_of_data_give_the_same_objects() -> None:
    rna, atac = part(BARCODES), part(BARCODES)
    mdata = joined(rna, atac)
    assert resolve(mdata) == (mdata["rna"], mdata["atac"])
    assert resolve((rna, atac)) == (rna, atac)
    assert resolve(rna) == (rna, None)


def test_a_mudata_without_atac_is_rna_only() -> None:
    rna, atac = part(BARCODES), part(BARCODES)
    assert resolve(joined(rna, atac), atac="chromatin")[1] is None


def test_the_order_of_atac_cells_is_mended() -> None:
    rna, atac = part(BARCODES), part(BARCODES)[[2, 0, 1]].copy()
    found = resolve((rna, atac))[1]
    assert found is not None
    assert found.obs_names.tolist() == BARCODES
    np.testing.assert_array_equal(found.X.toarray(), part(BARCODES).X.toarray())


def test_barcodes_that_differ_by_suffix_are_named_and_mended_on_request() -> None:
    rna, atac = part([f"{name}-1" for name in BARCODES]), part([f"atac_{name}.2" for name in BARCODES[::-1]])
    with pytest.raises(ValueError, match=r"same cells.*0 shared.*Fix: 3 cells match.*barcodes='stem'"):
        resolve((rna, atac))
    found = resolve((rna, atac), barcodes="stem")[1]
    assert found is not None
    assert found.obs_names.equals(rna.obs_names)
    np.testing.assert_array_equal(found.X.toarray(), atac.X.toarray()[::-1])
    assert atac.obs_names[0].startswith("atac_")


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (1, TypeError, "MuData, an AnnData or a pair"),
        (pd.DataFrame({"g": [1]}), TypeError, "MuData, an AnnData or a pair.*DataFrame"),
        ((part(BARCODES), 3), TypeError, r"two AnnData.*AnnData.*int"),
        ((part(BARCODES), part(BARCODES[:2])), ValueError, "3 RNA and 2 ATAC cells, 2 shared"),
        (part(["a", "a"]), ValueError, "unique"),
        ((part(BARCODES), part(["x", "y", ""])), ValueError, "empty"),
    ],
)
def test_data_that_cannot_be_used_is_named(data: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"(?s){text}.*Fix: "):
        resolve(data)


def test_a_missing_modality_is_named() -> None:
    with pytest.raises(KeyError, match=r"'gex'.*\[rna, atac\].*rna='...'"):
        resolve(joined(part(BARCODES), part(BARCODES)), rna="gex")


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.coo_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_every_kind_of_matrix_reads_the_same(kind: Any, dtype: Any) -> None:
    dense = np.array([[0, 2, 1], [3, 0, 0]], dtype=dtype)
    x = kind(dense)
    adata = AnnData(sp.csr_matrix(x) if isinstance(x, sp.coo_matrix) else x)
    found = read_counts(adata, None, what="RNA")
    assert found.dtype == np.float32
    assert found.nnz == 3
    np.testing.assert_array_equal(found.toarray(), dense)


def test_stored_zeros_are_dropped_from_a_copy_only() -> None:
    x = sp.csr_matrix((np.array([0, 5], dtype=np.float32), ([0, 1], [0, 1])), shape=(2, 2))
    adata = AnnData(x)
    assert read_counts(adata, None, what="RNA").nnz == 1
    assert adata.X.nnz == 2


def test_missing_layers_and_matrices_are_named() -> None:
    adata = part(BARCODES)
    adata.layers["counts"] = adata.X
    with pytest.raises(KeyError, match=r"layer 'raw' is missing.*\[counts\]"):
        open_rows(adata, "raw", what="RNA")
    with pytest.raises(ValueError, match="no matrix"):
        open_rows(AnnData(obs=adata.obs, var=adata.var), None, what="RNA")
    np.testing.assert_array_equal(read_counts(adata, "counts", what="RNA").toarray(), adata.X.toarray())


def test_normalised_values_are_refused_with_the_layer_to_name() -> None:
    adata = part(BARCODES)
    adata.X = adata.X * 0.3
    with pytest.raises(ValueError, match=r"RNA \(\.X\) must be raw counts.*atac_layer='counts'"):
        read_counts(adata, None, what="RNA", option="atac_layer")


def test_groups_are_found_wherever_they_are() -> None:
    rna, atac = part(BARCODES), part(BARCODES)
    atac.obs["type"] = ["b", "L2/3", "b"]
    found = find_group((rna, atac), rna, atac, "type")
    assert found.tolist() == ["b", "L2/3", "b"]
    assert found.cat.categories.tolist() == ["L2/3", "b"]
    mdata = joined(rna, atac)
    mdata.obs["type"] = ["x", "y", "z"]
    assert find_group(mdata, mdata["rna"], mdata["atac"], "type").tolist() == ["x", "y", "z"]


def test_no_groupby_is_one_group() -> None:
    rna = part(BARCODES)
    assert find_group(rna, rna, None, None).tolist() == [ALL_CELLS] * 3


def test_unknown_or_incomplete_groups_are_named() -> None:
    rna = part(BARCODES)
    rna.obs["type"] = ["a", None, "b"]
    with pytest.raises(KeyError, match=r"groupby='kind' names no column.*\[type\]"):
        find_group(rna, rna, None, "kind")
    with pytest.raises(ValueError, match="1 cells without one"):
        find_group(rna, rna, None, "type")
