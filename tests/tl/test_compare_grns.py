"""Networks side by side: figures are those of the metrics, nulls tell a network from a random one, joining them helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.priors import read_network

METHODS = ("correlation", "partial_correlation", "ridge", "grnboost2")


@pytest.fixture(scope="module")
def several(toy_mdata: Any) -> Any:
    """The toy multiome with five networks and their consensus; never changed."""
    mdata = toy_mdata.copy()
    for method in ("eregulon", *METHODS):
        grs.tl.build_grn(mdata, method=method, groupby="cell_type")
    grs.tl.consensus_grn(mdata)
    return mdata


@pytest.fixture(scope="module")
def figures(several: Any) -> pd.DataFrame:
    """Figures by network, task and figure."""
    mdata = several.copy()
    grs.tl.compare_grns(mdata, truth=mdata["rna"].uns["truth"], n_nulls=4, n_cells=120)
    return grs.get.comparison(mdata).set_index(["network", "task", "figure"])


class TestFigures:
    def test_known_links_are_judged_on_the_same_pairs(self, several: Any, figures: pd.DataFrame) -> None:
        rna = several["rna"]
        truth = rna.uns["truth"][["tf", "gene", "sign"]].drop_duplicates(["tf", "gene"])
        tfs = truth["tf"].unique()
        for name in ("grn", "grn_ridge", "grn_consensus"):
            links = grs.get.grn(rna, key=name)
            links = links[(links["tf"].astype(str) != links["gene"].astype(str)) & links["tf"].isin(tfs)]
            expected = grs.metrics.link_recovery(links, truth, universe=tfs.size * (rna.n_vars - 1))
            for figure in ("aupr", "early_precision", "f01", "signed_recall"):
                assert figures.loc[(name, "known links", figure), "value"] == pytest.approx(expected[figure])

    def test_networks_are_above_their_random_ones(self, figures: pd.DataFrame) -> None:
        known = figures.xs(("known links", "aupr"), level=("task", "figure"))
        assert (known["value"] > known[["degree_high", "expression_high"]].max(axis=1)).all()

    def test_regions_are_judged_where_there_are_any(self, figures: pd.DataFrame) -> None:
        tasks = figures.reset_index().groupby("network")["task"].unique()
        assert {"gene ~ region", "region ~ TF"} <= set(tasks["grn"]) & set(tasks["grn_consensus"])
        assert not {"gene ~ region", "region ~ TF"} & set(tasks["grn_ridge"])

    def test_every_pair_of_networks_overlaps_once(self, several: Any) -> None:
        mdata = several.copy()
        grs.tl.compare_grns(mdata, ["grn_ridge", "grn_correlation", "grn"], n_nulls=0)
        overlap = grs.get.comparison(mdata, "overlap")
        assert overlap[["network", "other"]].to_numpy().tolist() == [
            ["grn_ridge", "grn_correlation"], ["grn_ridge", "grn"], ["grn_correlation", "grn"],
        ]  # fmt: skip
        assert overlap["jaccard"].between(0, 1).all()
        assert grs.get.comparison(mdata)["degree_mean"].isna().all()


class TestNulls:
    def test_the_truth_is_perfect_and_a_random_network_is_like_its_nulls(self, toy: Any) -> None:
        rna = toy["rna"]
        truth = rna.uns["truth"][["tf", "gene"]].drop_duplicates()
        perfect = read_network(
            truth.assign(source=truth["tf"], target=truth["gene"], weight=1.0)[["source", "target", "weight"]]
        )
        random = perfect.assign(gene=grs.metrics.rewired_links(perfect.astype({"gene": str}), rng=1)["gene"].to_numpy())
        grs.tl.compare_grns(toy, {"perfect": perfect, "random": random}, truth=truth, n_nulls=10, n_cells=60)
        table = grs.get.comparison(toy)
        table = table[table["task"] == "known links"].set_index(["network", "figure"])
        assert table.loc[("perfect", "precision"), "value"] == 1
        assert table.loc[("perfect", "recall"), "value"] == pytest.approx(1.0, abs=0.3)  # eRegulons of 10 genes alone
        aupr = table.loc[("random", "aupr")]
        assert aupr["degree_low"] * 0.9 < aupr["value"] < aupr["degree_high"] * 1.1

    def test_seeds_decide(self, several: Any) -> None:
        tables = []
        for seed in (0, 0, 1):
            mdata = several.copy()
            grs.tl.compare_grns(mdata, ["grn", "grn_ridge"], n_nulls=2, n_cells=100, rng=seed)
            tables.append(grs.get.comparison(mdata))
        pd.testing.assert_frame_equal(tables[0], tables[1])
        assert not tables[0].equals(tables[2])


def test_knock_outs_are_judged_where_they_are_named(toy: Any) -> None:
    rna = toy["rna"]
    truth = rna.uns["truth"]
    tf = truth.groupby("tf", observed=True)["gene"].nunique().idxmax()
    targets = truth.loc[truth["tf"] == tf, "gene"].astype(str).unique()
    lacking = np.arange(rna.n_obs) % 2 == 0
    counts = rna.X.toarray()
    counts[np.ix_(lacking, rna.var_names.isin(targets))] = 0
    rna.X = counts
    rna.obs["lacks"] = np.where(lacking, tf, "control")
    links = truth[["tf", "gene"]].drop_duplicates().assign(weight=1.0).set_axis(["source", "target", "weight"], axis=1)
    known = read_network(links)
    other = read_network(grs.metrics.rewired_links(links, source="source", target="target", rng=0))
    grs.tl.compare_grns(rna, {"known": known, "other": other}, knockout="lacks", n_nulls=0)
    table = grs.get.comparison(rna).set_index(["network", "figure"])["value"].sort_index()
    assert table["known", "n_knockouts"] == 1
    assert table["known", "shift_recall"] > 0.9 > table["other", "shift_recall"]
    assert table["known", "activity_z"] < -3 < table["other", "activity_z"]
    assert table["known", "shift_place"] > 0.7


class TestConsensus:
    def test_it_is_at_least_as_good_as_the_median_network(self, figures: pd.DataFrame) -> None:
        aupr = figures.xs(("known links", "aupr"), level=("task", "figure"))["value"]
        assert aupr["grn_consensus"] >= aupr.drop("grn_consensus").median()

    def test_it_writes_the_slots_of_a_network(self, several: Any) -> None:
        rna = several["rna"]
        for key in ("grn_consensus_auc", "grn_consensus_active", "grn_consensus_auc_region"):
            assert rna.obsm[key].shape[0] == rna.n_obs
        assert "grn_consensus" in rna.varp
        assert "grn_consensus_connectivities" in rna.obsp
        params = grs.get.params(several, key="grn_consensus")
        assert list(params["networks"]) == ["grn", *(f"grn_{method}" for method in METHODS)]

    def test_files_and_tables_join_in(self, several: Any, tmp_path: Any) -> None:
        mdata = several.copy()
        path = tmp_path / "ridge.csv"
        grs.get.write_network(mdata, path, key="grn_ridge")
        grs.tl.consensus_grn(mdata, {"a": "grn", "b": grs.get.grn(mdata, key="grn_correlation"), "c": path})
        assert len(grs.get.grn(mdata, key="grn_consensus")) > 0


@pytest.mark.parametrize("tool", ["compare_grns", "consensus_grn"])
class TestErrors:
    def test_one_network_is_too_few(self, several: Any, tool: str) -> None:
        with pytest.raises(ValueError, match=r"at least 2 networks are needed\. Found: 1"):
            getattr(grs.tl, tool)(several.copy(), ["grn"])

    def test_an_unknown_network_is_named(self, several: Any, tool: str) -> None:
        with pytest.raises(KeyError, match=r"'nothing' must be a network in adata\.uns"):
            getattr(grs.tl, tool)(several.copy(), ["grn", "nothing"])

    def test_a_text_is_no_list(self, several: Any, tool: str) -> None:
        with pytest.raises(TypeError, match="networks is a list of base names"):
            getattr(grs.tl, tool)(several.copy(), "grn")


def test_truth_with_other_names_is_an_error(several: Any) -> None:
    truth = pd.DataFrame({"tf": ["A"], "gene": ["B"]})
    with pytest.raises(ValueError, match="at least one true link must join two genes of the data"):
        grs.tl.compare_grns(several.copy(), truth=truth)
    with pytest.raises(KeyError, match="truth needs the columns tf and gene"):
        grs.tl.compare_grns(several.copy(), truth=truth.rename(columns={"tf": "TF"}))


def test_a_consensus_that_is_empty_says_why(several: Any) -> None:
    with pytest.raises(ValueError, match=r"at least one eRegulon .* min_networks=5"):
        grs.tl.consensus_grn(several.copy(), min_networks=5, n_links=3)
