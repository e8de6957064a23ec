"""CellOracle: coefficients equal scikit-learn's on the same bags, base networks by hand, planted links, wrong input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from mudata import MuData
from scipy.stats import ttest_1samp
from sklearn.linear_model import Ridge

import grnformer_sc as grs
from grnformer_sc._core.rng import generator
from grnformer_sc.grn.systems.celloracle.bagging import bags, centred_products, ridge_of_gene
from grnformer_sc.grn.systems.celloracle.base import base_network, correlations

N_CELLS, N_TFS = 90, 7


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 1, (N_CELLS, N_TFS + 3))
    x[:, N_TFS] += x[:, 0] - 0.5 * x[:, 1]
    return x


def load_from(values: np.ndarray, size: int = 32):
    def load(columns: np.ndarray) -> Iterator[np.ndarray]:
        yield from (values[a : a + size][:, columns] for a in range(0, len(values), size))

    return load


@pytest.mark.parametrize("max_features", [0.8, 1.0])
@pytest.mark.parametrize("alpha", [10.0, 0.1])
def test_coefficients_equal_scikit_learn_on_the_same_bags(
    values: np.ndarray, alpha: float, max_features: float
) -> None:
    weights = bags(N_CELLS, 20, np.random.default_rng(1))
    tfs, genes = np.arange(N_TFS), np.arange(N_TFS, N_TFS + 3)
    gram = centred_products(load_from(values), weights, tfs, tfs, n_jobs=1)
    cross = centred_products(load_from(values), weights, tfs, genes, n_jobs=1)
    for place, gene in enumerate(genes):
        mean, p = ridge_of_gene(gram, cross[:, :, place], alpha, max_features, np.random.default_rng(5))
        n_seen = int(max_features * N_TFS)
        order = np.argsort(np.random.default_rng(5).random((20, N_TFS)), axis=1)[:, :n_seen]
        table = np.full((20, N_TFS), np.nan)
        for bag, seen in enumerate(order):
            rows = np.repeat(np.arange(N_CELLS), weights[bag].astype(int))
            table[bag, seen] = Ridge(alpha=alpha).fit(values[rows][:, seen], values[rows, gene]).coef_
        np.testing.assert_allclose(mean, np.nanmean(table, axis=0), atol=1e-9)
        np.testing.assert_allclose(p, ttest_1samp(table, 0, nan_policy="omit").pvalue, rtol=1e-6)
        assert n_seen < N_TFS or max_features == 1


def test_a_bag_draws_as_many_cells_as_there_are() -> None:
    weights = bags(50, 9, np.random.default_rng(0))
    np.testing.assert_array_equal(weights.sum(axis=1), 50)
    assert len({tuple(row) for row in weights}) == 9


def test_products_do_not_depend_on_threads(values: np.ndarray) -> None:
    weights, tfs = bags(N_CELLS, 6, np.random.default_rng(2)), np.arange(N_TFS)
    one, two = (centred_products(load_from(values), weights, tfs, tfs, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_tf_that_never_varies_is_no_regulator() -> None:
    values = np.random.default_rng(0).gamma(2, 1, (40, 3))
    values[:, 1] = 0
    weights, tfs = bags(40, 20, np.random.default_rng(2)), np.arange(2)
    gram = centred_products(load_from(values), weights, tfs, tfs, n_jobs=1)
    cross = centred_products(load_from(values), weights, tfs, np.array([2]), n_jobs=1)
    mean, p = ridge_of_gene(gram, cross[:, :, 0], 1.0, 1.0, np.random.default_rng(0))
    assert (mean[1], p[1]) == (0, 1)


def test_a_base_network_takes_promoters_and_what_opens_with_them() -> None:
    """Region 1 follows the promoter (0) of gene 0, region 2 does not; gene 1 has no promoter."""
    a = np.random.default_rng(0).random(60)
    access = sp.csc_matrix(np.stack([a, a + 0.01, np.random.default_rng(1).random(60)], axis=1))
    pairs = pd.DataFrame(
        {"gene": [0, 0, 0, 1, 1], "region": [0, 1, 2, 1, 2], "distance": [200, 9000, -9000, 5000, 60_000]}
    )
    hits = sp.csr_matrix(np.eye(3))
    found = base_network(pairs, hits, access, 2, promoter=1000, coaccess=0.5).toarray()
    np.testing.assert_array_equal(found, [[True, False], [True, False], [False, False]])
    every = base_network(pairs, hits, access, 2, promoter=1000, coaccess=-1.0).toarray()
    np.testing.assert_array_equal(every, [[True, False], [True, False], [True, False]])


def test_correlations_of_columns_equal_numpy() -> None:
    x = np.random.default_rng(0).poisson(0.4, (80, 6)).astype(float)
    x[:, 5] = 2
    one, other = np.array([0, 3, 1, 5]), np.array([1, 3, 4, 0])
    expected = [np.corrcoef(x[:, a], x[:, b])[0, 1] for a, b in zip(one[:3], other[:3], strict=True)]
    np.testing.assert_allclose(correlations(sp.csc_matrix(x), one, other), [*expected, 0], atol=1e-12)


@pytest.fixture(scope="module")
def cells() -> MuData:
    return grs.datasets.simulate_multiome(900, n_genes=200, n_tfs=20, n_types=3, rng=1)


def planted(cells: MuData) -> pd.DataFrame:
    return cells["rna"].uns["truth"][["tf", "gene", "sign"]].astype({"tf": str, "gene": str}).drop_duplicates()


def test_planted_links_are_found_among_those_of_the_base_network(cells: MuData) -> None:
    """Half of the base network is made up; links of the truth come first, with their signs."""
    truth = planted(cells)
    rng = np.random.default_rng(0)
    tfs, genes = cells["rna"].var_names[cells["rna"].var["is_tf"]], cells["rna"].var_names
    others = pd.DataFrame({"tf": rng.choice(tfs, 2 * len(truth)), "gene": rng.choice(genes, 2 * len(truth))})
    prior = pd.concat([truth[["tf", "gene"]], others]).drop_duplicates()
    rna = cells["rna"].copy()
    grs.tl.build_grn(rna, method="celloracle", prior=prior, options={"max_p": 1.0})
    weight = pd.DataFrame(rna.varp["grn_celloracle"].toarray(), index=genes, columns=genes).stack()  # noqa: PD013
    base = prior[prior["tf"] != prior["gene"]]
    size = np.abs(weight.reindex(pd.MultiIndex.from_frame(base)).fillna(0).to_numpy())
    real = pd.MultiIndex.from_frame(base).isin(pd.MultiIndex.from_frame(truth[["tf", "gene"]]))
    assert grs.metrics.average_precision(real, size) > 1.3 * real.mean()
    own = truth.set_index(["tf", "gene"])["sign"]
    own = own[~own.index.duplicated(keep=False)]
    value = weight.reindex(own.index).fillna(0)
    strong = value.abs() > value.abs().quantile(0.7)
    assert (np.sign(value[strong]) == own[strong]).mean() > 0.8


def test_motif_hits_make_the_base_network_and_groups_their_own_networks(cells: MuData) -> None:
    mdata = cells.copy()
    grs.tl.build_grn(mdata, method="celloracle", groupby="cell_type", options={"n_bags": 5, "top": 150})
    uns = mdata["rna"].uns["grn_celloracle"]
    assert list(uns["group_names"]) == ["type1", "type2", "type3"]
    assert (uns["edges"]["evidence"] == "direct").all()
    n_by_group = uns["edge_groups"].toarray().sum(axis=0)
    assert (n_by_group <= 150).all()
    assert (n_by_group > 20).all()
    assert len(uns["edges"]) > n_by_group.max()
    stored = sp.csr_matrix(uns["networks"])
    assert stored.shape == (3 * 200, 200)
    grs.tl.simulate_ko(mdata, uns["edges"]["tf"].astype(str).iloc[0], key="grn_celloracle")
    assert np.abs(mdata["rna"].varm["grn_celloracle_ko"]).sum() > 0


def test_the_same_seed_gives_the_same_network_for_any_order_and_threads(cells: MuData) -> None:
    prior = planted(cells)
    one, two = cells["rna"][:, ::-1].copy(), cells["rna"].copy()
    grs.tl.build_grn(one, method="celloracle", prior=prior, groupby="cell_type", n_jobs=1)
    grs.tl.build_grn(two, method="celloracle", prior=prior, groupby="cell_type", n_jobs=2)
    pd.testing.assert_frame_equal(one.uns["grn_celloracle"]["edges"], two.uns["grn_celloracle"]["edges"])
    assert (one.uns["grn_celloracle"]["networks"] != two.uns["grn_celloracle"]["networks"]).nnz == 0


def test_a_base_network_is_asked_for(cells: MuData) -> None:
    rna = cells["rna"].copy()
    with pytest.raises(ValueError, match=r"needs a base network.*pass prior="):
        grs.tl.build_grn(rna, method="celloracle", tfs="is_tf")
    assert "grn_celloracle" not in rna.uns


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0}, "alpha"),
        ({"max_features": 1.5}, "max_features"),
        ({"n_bag": 3}, "n_bags"),
        ({"max_p": -1}, "max_p"),
    ],
)
def test_wrong_options_are_named(cells: MuData, options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        grs.tl.build_grn(cells["rna"].copy(), method="celloracle", prior=planted(cells), options=options)


def test_arguments_without_effect_are_refused(cells: MuData) -> None:
    with pytest.raises(ValueError, match=r"no such options\. Found: \[extended, n_perm, batch_key\]"):
        grs.tl.build_grn(
            cells, method="celloracle", prior=planted(cells), n_perm=3, extended=False, batch_key="cell_type"
        )


def test_no_link_is_an_error_that_says_why(cells: MuData) -> None:
    with pytest.raises(ValueError, match=r"none of .* with p <= 0"):
        grs.tl.build_grn(cells["rna"].copy(), method="celloracle", prior=planted(cells).head(3), options={"max_p": 0.0})


def test_large_groups_are_sampled_by_the_seed(cells: MuData) -> None:
    prior, edges = planted(cells), []
    for seed in (0, 0, 1):
        rna = cells["rna"].copy()
        grs.tl.build_grn(rna, method="celloracle", prior=prior, options={"most_cells": 200}, rng=seed)
        edges.append(rna.uns["grn_celloracle"]["edges"])
    pd.testing.assert_frame_equal(edges[0], edges[1])
    assert not edges[0].equals(edges[2])
    assert generator(0, "x").random() == generator(0, "x").random()
