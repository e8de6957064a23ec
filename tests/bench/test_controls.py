"""Networks of chance keep what they must and change what they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import grnformer_sc as grs


@pytest.fixture(scope="module", params=["eregulon", "correlation"])
def cells(request: pytest.FixtureRequest) -> AnnData:
    mdata = grs.datasets.simulate_multiome(300, n_genes=120, n_tfs=12, n_types=3, rng=0)
    method = request.param
    given = mdata if method == "eregulon" else mdata["rna"]
    grs.tl.build_grn(
        given, method=method, key_added="grn", groupby="cell_type", tfs=None if given is mdata else "is_tf"
    )
    return mdata["rna"]


def pairs(adata: AnnData) -> pd.DataFrame:
    return adata.uns["grn"]["edges"][["tf", "eregulon", "gene"]].astype(str).drop_duplicates()


def test_rewiring_keeps_the_degrees_and_moves_the_links(cells: AnnData) -> None:
    other = grs.bench.with_network(cells, "rewired", seed=1)
    before, after = pairs(cells), pairs(other)
    for end in ("eregulon", "tf", "gene"):
        assert before[end].value_counts().to_dict() == after[end].value_counts().to_dict()
    kept = len(before.merge(after)) / len(before)
    assert kept < 0.7
    assert len(other.uns["grn"]["edges"]) == len(cells.uns["grn"]["edges"])


def test_permuting_names_keeps_who_shares_a_regulator(cells: AnnData) -> None:
    other = grs.bench.with_network(cells, "permuted", seed=1)

    def shared(adata: AnnData) -> np.ndarray:
        table = pd.crosstab(pairs(adata)["gene"], pairs(adata)["eregulon"]).to_numpy()
        return np.sort((table @ table.T).ravel())

    np.testing.assert_array_equal(shared(cells), shared(other))
    assert len(pairs(cells).merge(pairs(other))) / len(pairs(cells)) < 0.7


@pytest.mark.parametrize("network", ["rewired", "permuted"])
def test_a_control_is_a_sorted_network_that_leaves_the_cells_alone(cells: AnnData, network: str) -> None:
    stored = cells.uns["grn"]["edges"].copy()
    other = grs.bench.with_network(cells, network, seed=2)
    assert other.X is cells.X
    pd.testing.assert_frame_equal(cells.uns["grn"]["edges"], stored)
    edges = other.uns["grn"]["edges"]
    assert edges["tf"].astype(str).is_monotonic_increasing
    columns = ["tf", "eregulon", "tf_gene_importance"]
    left, right = (table[columns].astype(str).value_counts().to_dict() for table in (edges, stored))
    assert left == right
    groups_of_regulon = [
        pd.DataFrame(a.uns["grn"]["edge_groups"].toarray())
        .groupby(a.uns["grn"]["edges"]["eregulon"].astype(str).to_numpy())
        .sum()
        for a in (cells, other)
    ]
    pd.testing.assert_frame_equal(*groups_of_regulon)
    assert other.varp["grn"].nnz == len(edges[["tf", "gene"]].astype(str).drop_duplicates())
    assert (other.varp["grn"] != cells.varp["grn"]).nnz
    again = grs.bench.with_network(cells, network, seed=2)
    pd.testing.assert_frame_equal(again.uns["grn"]["edges"], edges)


def test_no_network_is_no_network(cells: AnnData) -> None:
    other = grs.bench.with_network(cells, "none")
    assert "grn" not in other.uns
    assert "grn" not in other.varp
    assert "grn" in cells.uns
    assert grs.bench.with_network(cells, "own") is cells


def test_another_word_is_an_error(cells: AnnData) -> None:
    with pytest.raises(ValueError, match="network"):
        grs.bench.with_network(cells, "random")
