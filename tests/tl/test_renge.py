"""`build_grn(method="renge")` and `simulate_ko(model="renge")`: slots, readers, invariances, errors."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS

planted = runpy.run_path(str(Path(__file__).parents[1] / "grn" / "_renge.py"))["planted"]

KEYS = {"perturbation_key": "lost", "time_key": "day"}
FAST = {**KEYS, "penalty": 0.01, "l1_ratio": 0.0, "n_hops": 2, "n_bootstrap": 8}


def cells(n_genes: int = 12) -> ad.AnnData:
    """Counts of the planted series, genes in the order of their numbers."""
    rows, design, _ = planted(n_genes=n_genes)
    counts = np.random.default_rng(1).poisson(np.expm1(rows.to_memory().toarray()))
    genes = [f"G{number:02}" for number in range(n_genes)]
    names = np.array([*(genes[gene] for gene in design.knocked), "control"])
    obs = pd.DataFrame({"lost": names[design.knockout], "day": design.times[design.time]})
    obs.index = [f"c{number}" for number in range(len(obs))]
    return ad.AnnData(counts.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))


@pytest.fixture(scope="module")
def made() -> ad.AnnData:
    """Cells with a network; never change them."""
    adata = cells()
    grs.tl.build_grn(adata, method="renge", options=FAST)
    return adata


def test_planted_links_are_in_the_edge_table(made: ad.AnnData) -> None:
    edges = grs.get.grn(made, key="grn_renge")
    assert list(edges.columns) == list(EDGE_COLUMNS)
    sign = edges.set_index(["tf", "gene"])["sign"]
    for tf, gene, expected in (("G00", "G01", 1), ("G01", "G02", 1), ("G03", "G06", 1), ("G03", "G07", -1)):
        assert sign[tf, gene] == expected
    assert (edges["fdr"] <= 0.01).all()
    assert (edges["tf"].astype(str) != edges["gene"].astype(str)).all()
    assert grs.metrics.link_recovery(edges, pd.DataFrame({"tf": ["G03"], "gene": ["G07"]}))["recall"] == 1


def test_the_network_is_one_for_all_cells_and_has_no_scores_of_cells(made: ad.AnnData) -> None:
    edges = grs.get.grn(made, key="grn_renge")
    pd.testing.assert_frame_equal(grs.get.grn(made, group="all", key="grn_renge"), edges)
    assert grs.get.groups(made, key="grn_renge")["kept"].all()
    assert not [name for name in made.obsm if name.startswith("grn_renge")]
    weights = made.varp["grn_renge"].toarray()
    stored = made.uns["grn_renge"]
    called = stored["q_values"] <= 0.01
    called &= made.var_names.isin(["G00", "G01", "G03", "G04"])[:, None]
    np.testing.assert_allclose(weights, np.where(called, stored["model"]["effect"], 0), rtol=1e-6)


def test_cells_can_be_scored_with_it_afterwards() -> None:
    adata = cells(n_genes=40)
    grs.tl.build_grn(adata, method="renge", options=FAST)
    grs.tl.cell_grn(adata, thresholds="fit", key_added="grn_renge")
    assert adata.obsm["grn_renge_auc"].shape[0] == adata.n_obs
    assert "effect" in adata.uns["grn_renge"]["model"]


def test_the_recipe_holds_the_options(made: ad.AnnData) -> None:
    params = grs.get.params(made, key="grn_renge")
    assert params["method"] == "renge"
    assert {name: params["options"][name] for name in FAST} == FAST


def test_genes_and_threads_come_in_any_order(made: ad.AnnData) -> None:
    other = cells()[:, ::-1].copy()
    grs.tl.build_grn(other, method="renge", options=FAST, n_jobs=1)
    pd.testing.assert_frame_equal(grs.get.grn(other, key="grn_renge"), grs.get.grn(made, key="grn_renge"))


def test_without_bootstrap_the_rules_of_other_methods_choose_links() -> None:
    adata = cells(n_genes=40)
    grs.tl.build_grn(adata, method="renge", options={**FAST, "n_bootstrap": 0})
    edges = grs.get.grn(adata, key="grn_renge")
    assert edges["fdr"].isna().all()
    assert (edges["support"] >= 2).all()
    assert edges.groupby("eregulon", observed=True).size().min() >= 10
    assert "q_values" not in adata.uns["grn_renge"]


def test_open_settings_are_searched_and_the_search_is_kept() -> None:
    adata = cells()
    grs.tl.build_grn(adata, method="renge", options={**FAST, "penalty": None, "n_folds": 3})
    tried, model = adata.uns["grn_renge"]["search"], adata.uns["grn_renge"]["model"]
    assert model["penalty"] == tried.loc[tried["r2"].idxmax(), "penalty"]
    assert set(tried["n_hops"]) == {2}


def test_regulators_are_the_lost_genes_unless_others_are_named(made: ad.AnnData) -> None:
    assert set(grs.get.grn(made, key="grn_renge")["tf"]) == {"G00", "G01", "G03", "G04"}
    adata = cells()
    grs.tl.build_grn(adata, method="renge", options=FAST, tfs=["G01", "G02"])
    assert set(grs.get.grn(adata, key="grn_renge")["tf"]) == {"G01", "G02"}


def test_networks_can_be_compared_and_joined(made: ad.AnnData) -> None:
    adata = made.copy()
    networks = {"a": "grn_renge", "b": grs.get.grn(made, key="grn_renge").head(20)}
    grs.tl.compare_grns(adata, networks, knockout="lost", n_nulls=0)
    assert "knock-outs" in set(grs.get.comparison(adata)["task"])


def test_cells_of_unknown_knock_outs_are_counted(made: ad.AnnData, caplog: pytest.LogCaptureFixture) -> None:
    adata = cells()
    more = adata[:50].copy()
    more.obs["lost"] = ["elsewhere"] * 48 + ["G05"] * 2
    more.obs_names = [f"x{name}" for name in more.obs_names]
    both = ad.concat([adata, more])
    with caplog.at_level(logging.INFO):
        grs.tl.build_grn(both, method="renge", options=FAST)
    dropped = grs.get.params(both, key="grn_renge")["dropped"]
    assert dropped == {"cells_with_knockouts_not_in_genes": 48, "cells_with_knockouts_unused": 2}
    assert "48 cells with knockouts not in genes left out" in caplog.text
    pd.testing.assert_frame_equal(grs.get.grn(both, key="grn_renge"), grs.get.grn(made, key="grn_renge"))


class TestKnockOuts:
    def test_changes_stand_by_time(self, made: ad.AnnData) -> None:
        adata = made.copy()
        grs.tl.simulate_ko(adata, "G00", model="renge", key="grn_renge")
        table = grs.get.perturbation(adata, key="grn_renge_ko")
        assert list(table["group"].cat.categories) == ["1", "2", "3"]
        at_once = table[table["group"] == "3"].set_index("gene")
        assert at_once.loc["G00", "step"] == 0
        assert at_once.loc["G01", "step"] == 1
        assert at_once.loc["G01", "change"] < 0
        assert at_once.loc["G02", "change"] < 0  # over G01

    def test_fewer_steps_are_direct_targets(self, made: ad.AnnData) -> None:
        adata = made.copy()
        grs.tl.simulate_ko(adata, "G00", model="renge", key="grn_renge", n_steps=1)
        direct = adata.varm["grn_renge_ko"].copy()
        grs.tl.simulate_ko(adata, "G00", model="renge", key="grn_renge")
        own = adata.var_names.get_loc("G01"), adata.var_names.get_loc("G02")
        assert abs(direct[own[1], -1]) < 0.6 * abs(adata.varm["grn_renge_ko"][own[1], -1])

    def test_it_foretells_what_the_cells_without_a_gene_show(self, made: ad.AnnData) -> None:
        adata = made.copy()
        x = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 1e4)
        for gene in ("G00", "G01", "G03", "G04"):
            grs.tl.simulate_ko(adata, gene, model="renge", key="grn_renge")
            lost, control = (adata.obs["lost"] == gene).to_numpy(), (adata.obs["lost"] == "control").to_numpy()
            seen = x[lost].mean(axis=0) - x[control].mean(axis=0)
            others = adata.var_names != gene
            assert np.corrcoef(adata.varm["grn_renge_ko"].mean(axis=1)[others], seen[others])[0, 1] > 0.9

    @pytest.mark.parametrize(
        ("genes", "options", "error", "text"),
        [
            (["G00", "G01"], {}, ValueError, r"the loss of one gene\. Found: genes \[G00, G01\]"),
            ("G00", {"level": "max"}, ValueError, r"level='max'"),
            ("G99", {}, KeyError, r"must be in the model\. Found: 'G99'"),
            ("G00", {"n_steps": 3}, ValueError, r"n_steps must lie in \[1, 2\]"),
            ("G00", {"per_cell": True, "groupby": "day"}, ValueError, r"Found: \[groupby, per_cell\]"),
        ],
    )
    def test_what_it_cannot_foretell_is_refused(
        self, made: ad.AnnData, genes: Any, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            grs.tl.simulate_ko(made, genes, model="renge", key="grn_renge", **options)
        assert "grn_renge_ko" not in made.uns

    def test_another_network_has_no_such_model(self, toy: Any) -> None:
        grs.tl.build_grn(toy, method="correlation")
        with pytest.raises(ValueError, match=r"needs a network that RENGE made\. Found: key='grn_correlation'"):
            grs.tl.simulate_ko(toy, "TF01", model="renge", key="grn_correlation")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({**FAST, "hops": 2}, ValueError, r"options of method='renge' are \[perturbation_key, .*unknown \[hops\]"),
        ({}, ValueError, r"must be told \[perturbation_key\]"),
        ({"perturbation_key": "gene"}, KeyError, r"perturbation_key='gene' names no column of obs"),
        ({**KEYS, "time_key": "hour"}, KeyError, r"time_key='hour' names no column"),
        ({**KEYS, "time_key": "lost"}, ValueError, r"times must be numbers.*\[G00, G01, G03, G04, control\]"),
        ({**KEYS, "control": "NT"}, ValueError, r"the label 'NT' in 'lost'\. Found: \[G00"),
        ({**KEYS, "penalty": 0.0}, ValueError, r"penalty must lie in"),
        ({**KEYS, "l1_ratio": 1.5}, ValueError, r"l1_ratio must lie in \[0, 1\]"),
        ({**KEYS, "n_folds": 9}, ValueError, r"9 folds needs as many knock-outs and times of controls\. Found: 7"),
        ({**KEYS, "n_bootstrap": 1}, ValueError, r"n_bootstrap must lie in \[2"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    adata = cells()
    with pytest.raises(error, match=text):
        grs.tl.build_grn(adata, method="renge", options=options)
    assert list(adata.uns) == []


def test_arguments_without_effect_are_refused() -> None:
    adata = cells()
    with pytest.raises(ValueError, match=r"no such options\. Found: \[norm, n_runs, prior\]"):
        grs.tl.build_grn(adata, method="renge", options=FAST, prior=pd.DataFrame(), n_runs=2, norm="pyscenic")
    with pytest.raises(ValueError, match=r"one network of all cells\. Found: groupby='day'"):
        grs.tl.build_grn(adata, method="renge", options=FAST, groupby="day")
    with pytest.raises(ValueError, match=r"Found: \[options\]\. Fix: leave options out; they are of \[.*renge"):
        grs.tl.build_grn(adata, method="ridge", options=FAST)


def test_a_network_without_links_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"at least one link\. Found: none .* of at most 0 among 1 regulators"):
        grs.tl.build_grn(cells(), method="renge", options={**FAST, "max_fdr": 0.0}, tfs=["G11"])


def test_knock_outs_of_genes_that_are_not_measured_are_no_data() -> None:
    adata = cells()
    adata.obs["lost"] = adata.obs["lost"].replace({f"G{number:02}": f"H{number}" for number in range(12)})
    with pytest.raises(ValueError, match=r"expressed in control cells\. Found: labels \[H0"):
        grs.tl.build_grn(adata, method="renge", options=KEYS)


def test_the_limit_of_memory_is_obeyed() -> None:
    with grs.settings.override(max_memory="1KB"), pytest.raises(ValueError, match=r"must stay below .*'1KB'.*12 genes"):
        grs.tl.build_grn(cells(), method="renge", options=FAST)
