"""`build_grn(method="flecs")` and `simulate_ko(model="flecs")`: slots, readers, invariances, errors."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS

mpl.use("Agg")
planted = runpy.run_path(str(Path(__file__).parents[1] / "grn" / "_flecs.py"))["planted"]

MADE = planted(n_paths=120, knockouts=(0, 3))
GENES = np.array([f"G{number:02}" for number in range(12)])
TABLE = pd.DataFrame({"tf": GENES[MADE.links.source], "gene": GENES[MADE.links.target], "weight": 1.0})
KEYS = {"network": TABLE, "time_key": "day"}
FAST = {**KEYS, "normalize": False, "epochs": 4, "lr": 0.05, "max_step": 1.0}


def cells() -> ad.AnnData:
    """Counts of planted trajectories, every cell counted once, genes in the order of their numbers."""
    n, n_times, n_genes = MADE.states.shape
    counts = np.random.default_rng(1).poisson(np.expm1(MADE.states)).reshape(-1, n_genes)
    lost = np.where(MADE.lost < 0, "control", GENES[MADE.lost])
    obs = pd.DataFrame({"day": np.tile(2 + MADE.times, n), "lost": np.repeat(lost, n_times)})
    obs["pseudotime"] = (obs["day"] - 2 + np.random.default_rng(2).uniform(0, 0.9, len(obs))) / 4
    obs["one"] = 7
    obs.index = [f"c{number}" for number in range(len(obs))]
    return ad.AnnData(counts.astype(np.float32), obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture(scope="module")
def made() -> ad.AnnData:
    """Cells with a network; never change them."""
    adata = cells()
    grs.tl.build_grn(adata, method="flecs", options=FAST)
    return adata


def weights(adata: ad.AnnData) -> pd.Series:
    edges = grs.get.grn(adata, key="grn_flecs").astype({"tf": str, "gene": str})
    return (edges["tf_gene_importance"] * edges["sign"]).set_axis(pd.MultiIndex.from_frame(edges[["tf", "gene"]]))


class TestNetworks:
    def test_every_link_of_the_network_has_a_weight_and_no_other_pair(self, made: ad.AnnData) -> None:
        edges = grs.get.grn(made, key="grn_flecs")
        assert list(edges.columns) == list(EDGE_COLUMNS)
        assert set(weights(made).index) == set(zip(TABLE["tf"], TABLE["gene"], strict=True))
        assert set(edges["evidence"]) == {"prior"}
        assert (edges["tf_gene_importance"] > 0).all()
        matrix = made.varp["grn_flecs"].toarray()
        stored = made.uns["grn_flecs"]["model"]
        places = (made.var_names.get_indexer(stored["genes"][stored[end]]) for end in ("source", "target"))
        np.testing.assert_allclose(matrix[tuple(places)], stored["weight"], rtol=1e-6)
        assert made.varp["grn_flecs"].nnz == len(TABLE)

    def test_reverse_links_are_added_on_demand(self, caplog: pytest.LogCaptureFixture) -> None:
        adata = cells()
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(adata, method="flecs", options={**FAST, "symmetrize": True})
        pairs = set(zip(TABLE["tf"], TABLE["gene"], strict=True))
        assert set(weights(adata).index) == pairs | {(gene, tf) for tf, gene in pairs}
        assert f"reverse links added to {len(TABLE)}" in caplog.text

    def test_the_training_is_kept_and_said_in_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        adata = cells()
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(adata, method="flecs", options=FAST)
        losses, model = adata.uns["grn_flecs"]["training"], adata.uns["grn_flecs"]["model"]
        assert len(losses) == FAST["epochs"]
        assert losses["loss"].iloc[-1] < losses["loss"].iloc[0]
        assert losses["held_out"].iloc[-1] < min(0.6 * model["no_change"], model["mean_of_time"])
        assert f"flecs: 12 genes, {len(TABLE)} links, 120 trajectories over 4 times; loss " in caplog.text

    def test_without_held_out_trajectories_all_are_trained_on(self) -> None:
        adata = cells()
        grs.tl.build_grn(adata, method="flecs", options={**FAST, "validation": 0, "epochs": 1})
        assert np.isnan(adata.uns["grn_flecs"]["training"]["held_out"]).all()

    def test_genes_and_threads_come_in_any_order(self, made: ad.AnnData) -> None:
        other = cells()[:, ::-1].copy()
        shuffled = {**FAST, "network": TABLE.iloc[::-1]}
        grs.tl.build_grn(other, method="flecs", options=shuffled, n_jobs=1)
        pd.testing.assert_frame_equal(grs.get.grn(other, key="grn_flecs"), grs.get.grn(made, key="grn_flecs"))
        grs.tl.build_grn(other, method="flecs", options=shuffled, n_jobs=2, rng=1)
        assert (weights(other).sort_index() != weights(made).sort_index()).any()

    def test_the_links_of_a_stored_network_are_learnt_on(self, made: ad.AnnData) -> None:
        adata = made.copy()
        grs.tl.build_grn(adata, method="flecs", options={**FAST, "network": "grn_flecs"}, key_added="again")
        pd.testing.assert_frame_equal(grs.get.grn(adata, key="again"), grs.get.grn(made, key="grn_flecs"))
        assert grs.get.params(adata, key="again")["options"]["network"] == "grn_flecs"

    def test_regulators_can_be_named_and_genes_without_links_are_left_out(self) -> None:
        adata = cells()
        grs.tl.build_grn(adata, method="flecs", options=FAST, tfs=["G04", "G05"])
        edges = weights(adata).index
        assert set(edges.get_level_values(0)) == {"G04", "G05"}
        assert set(adata.uns["grn_flecs"]["model"]["genes"]) == set(edges.get_level_values(0)) | set(
            edges.get_level_values(1)
        )

    def test_the_recipe_holds_the_options(self, made: ad.AnnData) -> None:
        params = grs.get.params(made, key="grn_flecs")
        assert params["options"]["network"] == f"DataFrame ({len(TABLE)}, 3)"
        assert params["options"]["lr"] == 0.05
        assert not params["options"]["symmetrize"]

    def test_planted_links_stand_above_the_others(self) -> None:
        adata = cells()
        options = {**FAST, "epochs": 40, "perturbation_key": "lost", "max_step": 0.5}
        grs.tl.build_grn(adata, method="flecs", options=options)
        truth = pd.Series(MADE.truth.weight, index=pd.MultiIndex.from_frame(TABLE[["tf", "gene"]]))
        found = weights(adata).reindex(truth.index)
        x = np.corrcoef(np.log1p(adata.X).T)[MADE.links.source, MADE.links.target]
        r, by_correlation = (float(np.corrcoef(each, truth)[0, 1]) for each in (found, x))
        assert r > 0.7
        assert r > by_correlation


class TestTimes:
    def test_pseudotime_is_cut_into_bins_of_equal_size(self) -> None:
        adata = cells()
        options = {**FAST, "time_key": "pseudotime", "n_bins": 4}
        grs.tl.build_grn(adata, method="flecs", options=options)
        bins = pd.qcut(adata.obs["pseudotime"], 4, labels=False)
        expected = adata.obs["pseudotime"].groupby(bins).mean()
        np.testing.assert_allclose(adata.uns["grn_flecs"]["model"]["times"], expected)

    def test_only_gaps_between_times_matter(self, made: ad.AnnData) -> None:
        adata = cells()
        adata.obs["day"] = 24 * adata.obs["day"] + 1000
        grs.tl.build_grn(adata, method="flecs", options=FAST)
        pd.testing.assert_series_equal(weights(adata), weights(made))


class TestKnockOuts:
    def test_cells_of_genes_without_links_or_starts_are_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        adata = cells()
        adata.obs["lost"] = adata.obs["lost"].astype(str)
        adata.obs.iloc[:5, 1] = "elsewhere"
        late = (adata.obs["lost"] == "G03") & (adata.obs["day"] == 2)
        options = {**FAST, "perturbation_key": "lost", "epochs": 1}
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(adata[~late].copy(), method="flecs", options=options, copy=True)
        n_late = int(((adata.obs["lost"] == "G03") & ~late).sum())
        assert "flecs: 5 cells with knockouts not in links left out" in caplog.text
        assert f"flecs: {n_late} cells with knockouts at few times left out" in caplog.text

    def test_changes_stand_by_time_and_follow_the_signs(self, made: ad.AnnData) -> None:
        adata = made.copy()
        tf = weights(made).groupby(level=0).apply(lambda w: w.abs().max()).idxmax()
        grs.tl.simulate_ko(adata, tf, model="flecs", key="grn_flecs")
        table = grs.get.perturbation(adata, key="grn_flecs_ko")
        assert list(table["group"].cat.categories) == ["2", "3", "4", "5"]
        early = table[table["group"] == "3"].set_index("gene")
        assert early.loc[tf, "step"] == 0
        own = weights(made)[tf]
        strong = own.index[own.abs() > 0.5]
        assert (np.sign(early.loc[strong, "change"]) == -np.sign(own[strong])).all()
        reached = adata.varm["grn_flecs_ko_step"][:, 0] >= 0
        assert (adata.varm["grn_flecs_ko"][~reached] == 0).all()
        params = grs.get.params(adata, key="grn_flecs_ko")
        assert params["model"] == "flecs"
        assert grs.pl.perturbation(adata, key="grn_flecs_ko") is not None

    def test_levels_hold_several_genes(self, made: ad.AnnData) -> None:
        adata = made.copy()
        tfs = list(dict.fromkeys(TABLE["tf"]))[:2]
        level = {tfs[0]: "max", tfs[1]: 1.5}
        grs.tl.simulate_ko(adata, tfs, level=level, model="flecs", key="grn_flecs")
        stored = adata.uns["grn_flecs_ko"]
        highest = np.log1p(adata.X[:, adata.var_names == tfs[0]]).max()
        np.testing.assert_allclose(dict(zip(stored["genes"], stored["levels"], strict=True))[tfs[0]], highest)
        assert dict(zip(stored["genes"], stored["levels"], strict=True))[tfs[1]] == 1.5

    def test_a_gene_lost_early_has_acted_at_the_first_time(self) -> None:
        adata = cells()
        grs.tl.build_grn(adata, method="flecs", options={**FAST, "perturbation_key": "lost", "knockout_time": 0})
        grs.tl.simulate_ko(adata, "G00", model="flecs", key="grn_flecs")
        first = adata.varm["grn_flecs_ko"][:, 0]
        assert np.abs(first[adata.varm["grn_flecs_ko_step"][:, 0] == 1]).min() > 0

    @pytest.mark.parametrize(
        ("genes", "options", "error", "text"),
        [
            ("G99", {}, KeyError, r"must be in the data .*unknown \[G99\]"),
            ("G11", {}, ValueError, r"must regulate others in the network.*G11"),
            ("G00", {"level": -1}, ValueError, r"0 or more, or 'max'\. Found: -1"),
            ("G00", {"n_steps": 2}, ValueError, r"integrates over the times of the data\. Found: \[n_steps\]"),
            ("G00", {"per_cell": True, "groupby": "day"}, ValueError, r"Found: \[groupby, per_cell\]"),
        ],
    )
    def test_what_it_cannot_foretell_is_refused(
        self, made: ad.AnnData, genes: Any, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            grs.tl.simulate_ko(made, genes, model="flecs", key="grn_flecs", **options)
        assert "grn_flecs_ko" not in made.uns

    def test_another_network_has_no_such_model(self, toy: Any) -> None:
        grs.tl.build_grn(toy, method="correlation")
        with pytest.raises(ValueError, match=r"needs a network that FLeCS made\. Found: key='grn_correlation'"):
            grs.tl.simulate_ko(toy, "TF01", model="flecs", key="grn_correlation")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({**FAST, "epoch": 2}, ValueError, r"unknown \[epoch\]\. Fix: did you mean \[epochs\]"),
        ({**FAST, "xyz": 2}, ValueError, r"unknown \[xyz\]\. Fix: use these names"),
        ({}, ValueError, r"must be told \[network, time_key\]"),
        ({**KEYS, "time_key": "hour"}, KeyError, r"time_key='hour' names no column of obs"),
        ({**KEYS, "time_key": "lost"}, ValueError, r"times must be numbers.*\[G00, G03, control\]"),
        ({**KEYS, "time_key": "one"}, ValueError, r"needs 2 times\. Found: 1 in 'one': \[7\]"),
        ({**KEYS, "time_key": "pseudotime"}, ValueError, r"100 at most\. Found: 480 values.*'n_bins': 5"),
        ({**KEYS, "knockout_time": 3}, ValueError, r"not later than the first time\. Found: 3, and 2 in 'day'"),
        ({**KEYS, "network": "grn_x"}, KeyError, r"'grn_x' must be a network in adata\.uns"),
        ({**KEYS, "network": TABLE.assign(tf="A")}, ValueError, r"links between measured genes\. Found: none of \d+; .*A -> G"),
        ({**KEYS, "perturbation_key": "gene"}, KeyError, r"perturbation_key='gene' names no column"),
        ({**KEYS, "perturbation_key": "lost", "control": "NT"}, ValueError, r"the label 'NT' in 'lost'\. Found: \[G00"),
        ({**KEYS, "n_bins": 1}, ValueError, r"n_bins must lie in \[2, 1000\]"),
        ({**KEYS, "epochs": -1}, ValueError, r"epochs must lie in \[1, inf\]\. Found: -1"),
        ({**KEYS, "batch_size": 0}, ValueError, r"batch_size must lie in \[1"),
        ({**KEYS, "lr": -0.1}, ValueError, r"lr must lie in .*Found: -0.1"),
        ({**KEYS, "validation": 0.9}, ValueError, r"validation must lie in \[0, 0\.5\]"),
        ({**KEYS, "max_step": 0.0}, ValueError, r"max_step must lie in"),
        ({**KEYS, "n_trajectories": 5}, ValueError, r"n_trajectories must lie in \[10"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    adata = cells()
    with pytest.raises(error, match=text):
        grs.tl.build_grn(adata, method="flecs", options=options)
    assert list(adata.uns) == []


def test_controls_are_needed_at_the_first_time() -> None:
    adata = cells()
    late = adata[(adata.obs["lost"] != "control") | (adata.obs["day"] > 2)].copy()
    with pytest.raises(ValueError, match=r"none of 'control' at time 2\. Fix: leave that time out"):
        grs.tl.build_grn(late, method="flecs", options={**FAST, "perturbation_key": "lost"})


def test_the_limit_of_memory_is_obeyed() -> None:
    with grs.settings.override(max_memory="1KB"), pytest.raises(ValueError, match=r"must stay below .*'1KB'.*12 genes"):
        grs.tl.build_grn(cells(), method="flecs", options=FAST)
