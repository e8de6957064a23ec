"""`build_grn(method="pcnet")`, `rank_cell_types`, `rank_targets`: slots, readers, the figure, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS

OPTIONS = {"n_samples": 4}
KEY = "grn_pcnet"


def made_of(rna: Any, **more: Any) -> Any:
    grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", options=OPTIONS, **more)
    return rna


@pytest.fixture(scope="module")
def made(toy_mdata: Any) -> Any:
    """Cells of three types with networks; never changed."""
    return made_of(toy_mdata["rna"].copy(), tfs="is_tf")


@pytest.fixture
def ranked(made: Any) -> Any:
    adata = made.copy()
    grs.tl.rank_cell_types(adata, "TF05")
    return adata


class TestNetworks:
    def test_every_type_has_one(self, made: Any) -> None:
        edges = grs.get.grn(made, key=KEY)
        assert list(edges.columns) == list(EDGE_COLUMNS)
        assert set(edges["tf"]) <= set(made.var_names[made.var["is_tf"]])
        sizes = {name: len(grs.get.grn(made, group=name, key=KEY)) for name in ("type1", "type2", "type3")}
        assert min(sizes.values()) > 0
        assert max(sizes.values()) < len(edges)
        assert not [name for name in made.obsm if name.startswith(KEY)]

    def test_weights_are_those_of_the_stored_networks(self, made: Any) -> None:
        stored = made.uns[KEY]
        n = made.n_vars
        place = pd.Index(stored["genes"])
        for number, name in enumerate(stored["group_names"]):
            weights = stored["networks"][number * n : (number + 1) * n]
            edges = grs.get.grn(made, group=str(name), key=KEY)
            values = np.asarray(weights[place.get_indexer(edges["tf"]), place.get_indexer(edges["gene"])]).ravel()
            assert (np.sign(values) == edges["sign"]).all()
            assert (np.abs(values) <= edges["tf_gene_importance"] + 1e-6).all()
            assert weights.toarray().diagonal().max() == 0

    def test_genes_and_threads_come_in_any_order(self, made: Any) -> None:
        again = made_of(made[:, ::-1].copy(), tfs="is_tf", n_jobs=1)
        pd.testing.assert_frame_equal(grs.get.grn(again, key=KEY), grs.get.grn(made, key=KEY))

    def test_a_type_does_not_depend_on_the_others(self, made: Any) -> None:
        part = made_of(made[made.obs["cell_type"] != "type1"].copy(), tfs="is_tf")
        own = grs.get.grn(part, group="type2", key=KEY)[["tf", "gene", "sign"]].astype(str)
        same = grs.get.grn(made, group="type2", key=KEY)[["tf", "gene", "sign"]].astype(str)
        assert set(own.itertuples(index=False)) == set(same.itertuples(index=False))

    def test_small_types_have_none_and_are_counted(self, made: Any) -> None:
        adata = made.copy()
        adata.obs["part"] = np.where(np.arange(adata.n_obs) < 25, "few", "many")
        grs.tl.build_grn(adata, method="pcnet", groupby="part", tfs="is_tf", options=OPTIONS)
        assert grs.get.params(adata, key=KEY)["dropped"]["groups_with_few_cells"] == 1
        assert grs.get.grn(adata, group="few", key=KEY).empty
        grs.tl.rank_cell_types(adata, grs.get.grn(adata, key=KEY)["tf"].iloc[0])
        assert grs.get.rank_cell_types(adata)["group"].tolist() == ["many"]

    def test_regulators_are_recognised_as_in_other_methods(self, toy: Any) -> None:
        rna = toy["rna"]
        rna.var_names = [f"SOX{i}" if i < 5 else f"gene{i}" for i in range(rna.n_vars)]
        made_of(rna)
        assert set(grs.get.grn(rna, key=KEY)["tf"]) <= {f"SOX{i}" for i in range(5)}

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"quantile": 2.0}, r"quantile must lie in \[0, 1\]"),
            ({"n_samples": 0}, r"n_samples must lie in"),
            ({"samples": 3}, r"are \[n_components, quantile, .*unknown \[samples\]"),
        ],
    )
    def test_options_are_checked(self, toy: Any, options: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            grs.tl.build_grn(toy, method="pcnet", groupby="cell_type", options=options)

    def test_too_few_cells_are_an_error(self, toy: Any) -> None:
        with pytest.raises(ValueError, match=r"needs 26 cells of a group\. Found: at most 20"):
            grs.tl.build_grn(toy["rna"][:20].copy(), method="pcnet", tfs="is_tf")


class TestWithoutScoresOfCells:
    @pytest.mark.parametrize(
        "call",
        [
            lambda a: grs.get.activity(a, key=KEY),
            lambda a: grs.get.grn(a, cell=a.obs_names[0], key=KEY),
            lambda a: grs.get.cell_graph(a, a.obs_names[0], key=KEY),
            lambda a: grs.tl.rank_eregulons(a, "cell_type", key=KEY),
            lambda a: grs.pl.specificity(a, key=KEY),
        ],
        ids=["activity", "grn", "cell_graph", "rank_eregulons", "specificity"],
    )
    def test_what_needs_them_says_how_to_make_them(self, made: Any, call: Any) -> None:
        with pytest.raises(KeyError, match=r"cell_grn\(\.\.\., thresholds='fit'\) for a system's network"):
            call(made)

    def test_they_are_made_by_fitting_thresholds(self, made: Any) -> None:
        adata = made.copy()
        with pytest.raises(ValueError, match=r"holds no thresholds.*pass thresholds='fit'"):
            grs.tl.cell_grn(adata, key_added=KEY)
        grs.tl.cell_grn(adata, key_added=KEY, thresholds="fit")
        assert grs.get.activity(adata, key=KEY).n_obs == adata.n_obs
        grs.tl.rank_cell_types(adata, "TF05")  # the networks are still there


class TestRanking:
    def test_scores_come_highest_first(self, ranked: Any) -> None:
        table = grs.get.rank_cell_types(ranked)
        assert table["score"].is_monotonic_decreasing
        assert table["place"].tolist() == [1, 2, 3]
        links = [(grs.get.grn(ranked, group=g, key=KEY)["tf"] == "TF05").sum() for g in table["group"]]
        assert table["n_links"].tolist() == links

    def test_one_hop_is_the_sum_of_the_stored_shifts(self, made: Any) -> None:
        adata = made.copy()
        grs.tl.rank_cell_types(adata, "TF05", n_hops=1)
        slot = "grn_pcnet_rank_cell_types"
        sums = dict(zip(adata.uns[slot]["group_names"], adata.varm[slot].sum(axis=0), strict=True))
        for row in grs.get.rank_cell_types(adata).itertuples():
            assert row.score == pytest.approx(sums[row.group])

    def test_the_target_moves_most(self, ranked: Any) -> None:
        shift = ranked.varm["grn_pcnet_rank_cell_types"]
        places = (-shift).argsort(axis=0).argsort(axis=0)[ranked.var_names.get_loc("TF05")]
        assert (places < 20).all()

    def test_scores_of_targets_add_up_in_one_run(self, made: Any) -> None:
        adata = made.copy()
        grs.tl.rank_cell_types(adata, ["TF05", "TF03"])
        assert list(grs.get.params(adata, key="grn_pcnet_rank_cell_types")["target"]) == ["TF05", "TF03"]

    def test_the_order_of_genes_plays_no_part(self, made: Any, ranked: Any) -> None:
        other = made[:, ::-1].copy()
        other.uns[KEY] = made.uns[KEY]
        grs.tl.rank_cell_types(other, "TF05")
        pd.testing.assert_frame_equal(grs.get.rank_cell_types(other), grs.get.rank_cell_types(ranked))
        slot = "grn_pcnet_rank_cell_types"
        np.testing.assert_allclose(other.varm[slot][::-1], ranked.varm[slot], rtol=1e-7, atol=1e-12)

    def test_the_figure_is_the_table(self, ranked: Any) -> None:
        ax = grs.pl.rank_cell_types(ranked, n_top=2)
        table = grs.get.rank_cell_types(ranked).head(2).iloc[::-1]
        assert [label.get_text() for label in ax.get_yticklabels()] == table["group"].tolist()
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], table["score"])
        assert [text.get_text() for text in ax.texts] == [f"{n:,}" for n in table["n_links"]]
        assert ax.get_title(loc="right") == "2 of 3 cell types"
        with pytest.raises(ValueError, match="n_top must be at least 1"):
            grs.pl.rank_cell_types(ranked, n_top=0)


class TestTargets:
    def test_ratios_are_those_of_the_scores_of_types(self, made: Any) -> None:
        adata = made.copy()
        sets = [set(grs.get.grn(made, group=name, key=KEY)["tf"].astype(str)) for name in ("type1", "type3")]
        pair = sorted(set.intersection(*sets))[:2]
        grs.tl.rank_targets(adata, "type1", "type3", genes=pair, n_jobs=2)
        table = grs.get.rank_targets(adata).set_index("gene")
        assert table["ratio"].is_monotonic_decreasing
        for target in pair:
            grs.tl.rank_cell_types(adata, target)
            score = grs.get.rank_cell_types(adata).set_index("group")["score"]
            assert table.loc[target, "score_group"] == pytest.approx(score["type1"])
            assert table.loc[target, "ratio"] == pytest.approx(score["type1"] / score["type3"])

    def test_all_genes_with_links_in_both_are_candidates(self, made: Any) -> None:
        small = made.uns[KEY]
        n = made.n_vars
        both = np.diff(small["networks"].indptr).reshape(3, n)[[0, 1]].min(axis=0) > 0
        adata = made.copy()
        grs.tl.rank_targets(adata, "type1", "type2", n_hops=1)
        assert set(grs.get.rank_targets(adata)["gene"]) == set(np.asarray(small["genes"])[both])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: grs.tl.rank_cell_types(a, "TF99"), KeyError, r"targets must be genes.*unknown \[TF99\]"),
        (lambda a: grs.tl.rank_cell_types(a, []), KeyError, r"targets must be genes"),
        (lambda a: grs.tl.rank_cell_types(a, "TF05", action="none"), ValueError, r"action must be one of"),
        (lambda a: grs.tl.rank_cell_types(a, "TF05", n_hops=4), ValueError, r"n_hops must lie in \[1, 3\]"),
        (lambda a: grs.tl.rank_cell_types(a, "TF05", key="grn"), KeyError, r"'grn'.*method='pcnet'"),
        (lambda a: grs.tl.rank_targets(a, "type1", "type1"), ValueError, r"its own reference\. Found: 'type1' twice"),
        (lambda a: grs.tl.rank_targets(a, "type1", "type9"), KeyError, r"unknown \[type9\]"),
        (grs.get.rank_targets, KeyError, r"run grs.tl.rank_targets first"),
    ],
)
def test_errors_say_what_there_is(made: Any, call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(made)
    assert not [name for name in made.uns if "rank" in name]


def test_other_networks_hold_no_groups_of_this_kind(toy: Any) -> None:
    grs.tl.build_grn(toy, method="correlation", groupby="cell_type")
    with pytest.raises(KeyError, match=r"networks of groups that method='pcnet' makes\. Found: key='grn_correlation'"):
        grs.tl.rank_cell_types(toy, "TF05", key="grn_correlation")
