"""Other methods of build_grn: the same slots, TFs and rules, beside the default network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS
from grnformer_sc.grn.systems import SCORERS

FAST = sorted(set(SCORERS) - {"genie3"})


@pytest.fixture(scope="module")
def many(toy_mdata: Any) -> Any:
    """The toy multiome with a network of every fast method; never changed."""
    mdata = toy_mdata.copy()
    for method in FAST:
        grs.tl.build_grn(mdata, method=method, groupby="cell_type")
    return mdata


@pytest.mark.parametrize("method", FAST)
class TestNetworks:
    def test_they_lie_below_their_own_name(self, many: Any, method: str) -> None:
        rna = many["rna"]
        edges = grs.get.grn(many, key=f"grn_{method}")
        assert list(edges.columns) == list(EDGE_COLUMNS)
        assert rna.obsm[f"grn_{method}_active"].shape == (rna.n_obs, edges["eregulon"].nunique())
        assert grs.get.params(many, key=f"grn_{method}")["method"] == method
        assert "grn" not in rna.uns

    def test_links_have_no_regions_and_pearsons_sign(self, many: Any, method: str) -> None:
        edges = grs.get.grn(many, key=f"grn_{method}")
        assert set(edges["region"]) == {""}
        assert set(edges["evidence"]) == {"none"}
        assert (np.sign(edges["tf_gene_rho"]) == edges["sign"]).all()
        assert edges["tf_gene_importance"].between(0, 1).all()

    def test_the_best_links_are_planted_more_often_than_those_of_random_networks(self, many: Any, method: str) -> None:
        truth = many["rna"].uns["truth"]
        links = grs.get.grn(many, key=f"grn_{method}").drop_duplicates(["tf", "gene"]).nlargest(200, "score")
        judged = grs.metrics.against_nulls(lambda table: grs.metrics.link_recovery(table, truth), links, n_nulls=20)
        assert judged.loc["aupr", "value"] > judged.loc["aupr", "degree_high"]

    def test_the_atac_names_the_tfs_and_nothing_else(self, toy: Any, many: Any, method: str) -> None:
        rna = toy["rna"]
        grs.tl.build_grn(rna, method=method, groupby="cell_type", tfs=list(toy["atac"].uns["motifs"]["tfs"]))
        pd.testing.assert_frame_equal(grs.get.grn(rna, key=f"grn_{method}"), grs.get.grn(many, key=f"grn_{method}"))

    def test_threads_and_the_order_of_genes_play_no_part(self, toy: Any, many: Any, method: str) -> None:
        order = np.random.default_rng(0).permutation(toy["rna"].n_vars)
        pair = toy["rna"][:, order].copy(), toy["atac"]
        grs.tl.build_grn(pair, method=method, groupby="cell_type", n_jobs=1)
        pd.testing.assert_frame_equal(grs.get.grn(pair, key=f"grn_{method}"), grs.get.grn(many, key=f"grn_{method}"))


def test_a_prior_limits_the_links(toy: Any) -> None:
    truth = toy["rna"].uns["truth"][["tf", "gene"]].drop_duplicates().assign(weight=1.0)
    prior = truth.rename(columns={"tf": "source", "gene": "target"})
    grs.tl.build_grn(toy, method="ridge", groupby="cell_type", prior=prior)
    found = grs.get.grn(toy, key="grn_ridge")
    known = set(truth[["tf", "gene"]].itertuples(index=False, name=None))
    assert set(found[["tf", "gene"]].astype(str).itertuples(index=False, name=None)) <= known
    assert set(found["evidence"]) == {"prior"}


def test_runs_give_the_frequency_of_links(toy: Any) -> None:
    grs.tl.build_grn(toy, method="correlation", groupby="cell_type", n_runs=3)
    frequency = grs.get.grn(toy, key="grn_correlation")["frequency"]
    assert set(np.round(frequency.unique() * 2)) <= {0, 1, 2}
    assert frequency.mean() > 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_perm": 5}, r"no such options\. Found: \[n_perm\]"),
        ({"window": 100, "basc": True}, r"Found: \[window, basc\]"),
        ({"preset": "strict"}, r"Found: \[preset\]"),
        ({"motifs": pd.DataFrame()}, r"Found: \[motifs\]"),
    ],
)
def test_options_of_the_default_method_are_refused(toy: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        grs.tl.build_grn(toy, method="ridge", groupby="cell_type", **options)
    assert "grn_ridge" not in toy["rna"].uns


def test_genie3_runs_from_counts_to_bits(toy: Any, monkeypatch: Any) -> None:
    from grnformer_sc.grn.systems import trees

    monkeypatch.setattr(trees, "N_TREES", 30)
    grs.tl.build_grn(toy, method="genie3", groupby="cell_type")
    truth = toy["rna"].uns["truth"]
    found = grs.metrics.link_recovery(grs.get.grn(toy, key="grn_genie3"), truth)
    assert found["aupr_ratio"] > 1.2
