"""`build_grn(method="ritini")` and `simulate_ko(model="ritini")`: slots, readers, checkpoints, invariances, errors."""

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
import torch

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS
from grnformer_sc.grn.systems.ritini.model import RitiniNet

mpl.use("Agg")
planted = runpy.run_path(str(Path(__file__).parents[1] / "grn" / "_ritini.py"))["planted"]

MADE = planted(0, n_drivers=3, n_targets=5, n_points=40)
GENES = np.array([f"G{number:02}" for number in range(8)])
PRIOR = pd.DataFrame({"tf": GENES[np.nonzero(MADE.prior)[0]], "gene": GENES[np.nonzero(MADE.prior)[1]]})
TIME = {"time_key": "pseudotime"}
FAST = {**TIME, "n_points": 30, "normalize": False, "epochs": 2, "batch_size": 11, "lr": 0.01}
GIVEN: dict[str, Any] = {"method": "ritini", "prior": PRIOR}


def cells() -> ad.AnnData:
    """Counts of cells along the planted trajectory, and a ninth gene that is always 1."""
    counts, place = MADE.counts(300)
    obs = pd.DataFrame({"pseudotime": place, "day": np.floor(4 * place), "word": "a"})
    obs.index = [f"c{number}" for number in range(len(obs))]
    flat = np.column_stack([counts, np.ones(len(counts), dtype=np.float32)])
    return ad.AnnData(flat, obs=obs, var=pd.DataFrame(index=[*GENES, "flat"]))


@pytest.fixture(scope="module")
def made() -> ad.AnnData:
    """Cells with a network; never change them."""
    adata = cells()
    grs.tl.build_grn(adata, **GIVEN, options=FAST)
    return adata


class TestNetworks:
    def test_links_are_pairs_of_the_prior_with_the_attention_of_every_window(self, made: ad.AnnData) -> None:
        edges, stored = grs.get.grn(made, key="grn_ritini"), made.uns["grn_ritini"]
        assert list(edges.columns) == list(EDGE_COLUMNS)
        pairs = list(zip(edges["tf"].astype(str), edges["gene"].astype(str), strict=True))
        assert set(pairs) == set(zip(PRIOR["tf"], PRIOR["gene"], strict=True))
        assert set(edges["evidence"]) == {"prior"}
        attention = stored["attention"]
        assert attention.shape == (len(edges), 30 - 8)
        assert len(stored["window_times"]) == 22
        per_target = pd.DataFrame(attention).groupby(edges["gene"].astype(str).to_numpy())
        np.testing.assert_allclose(per_target.sum(), 1, rtol=1e-5)
        number = edges["gene"].astype(str).map(PRIOR["gene"].value_counts()).to_numpy()
        np.testing.assert_allclose(edges["tf_gene_importance"], attention.mean(axis=1) * number, rtol=1e-5)
        assert (np.sign(edges["tf_gene_rho"]) == edges["sign"]).all()
        assert made.varp["grn_ritini"].nnz == len(edges)

    def test_the_training_is_kept_and_said_in_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        adata = cells()
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(adata, **GIVEN, options={**FAST, "epochs": 30})
        losses, model = adata.uns["grn_ritini"]["training"], adata.uns["grn_ritini"]["model"]
        assert len(losses) == 30
        assert losses["loss"].iloc[-1] < losses["loss"].iloc[0]
        assert model["error"] < model["no_change"]
        assert f"ritini: 8 genes, 30 points, {len(PRIOR)} of 64 pairs can carry attention" in caplog.text

    def test_genes_and_threads_come_in_any_order(self, made: ad.AnnData) -> None:
        other = cells()[::-1, ::-1].copy()
        grs.tl.build_grn(other, method="ritini", options={**FAST, "prior": PRIOR.iloc[::-1]}, n_jobs=2)
        pd.testing.assert_frame_equal(grs.get.grn(other, key="grn_ritini"), grs.get.grn(made, key="grn_ritini"))
        np.testing.assert_array_equal(other.uns["grn_ritini"]["attention"], made.uns["grn_ritini"]["attention"])
        grs.tl.build_grn(other, **GIVEN, options=FAST, rng=1)
        assert (other.uns["grn_ritini"]["attention"] != made.uns["grn_ritini"]["attention"]).any()

    def test_priors_can_be_computed(self) -> None:
        adata = cells()
        grs.tl.build_grn(adata, method="ritini", options={**FAST, "prior": "full", "threshold": 0, "n_genes": 5})
        assert len(grs.get.grn(adata, key="grn_ritini")) == 20
        assert adata.uns["grn_ritini"]["params"]["evidence"] == "none"
        grs.tl.build_grn(adata, method="ritini", options={**FAST, "min_surprise": 3, "threshold": 0})
        tested = set(zip(*grs.get.grn(adata, key="grn_ritini")[["tf", "gene"]].astype(str).to_numpy().T, strict=True))
        model = adata.uns["grn_ritini"]["model"]
        from grnformer_sc.grn.systems.ritini.granger import granger

        source, target = np.nonzero(granger(model["values"]).surprise >= 3)
        assert tested == set(zip(model["genes"][source], model["genes"][target], strict=True))

    def test_a_prior_can_draw_attention_without_limiting_it(self) -> None:
        adata = cells()
        grs.tl.build_grn(adata, **GIVEN, options={**FAST, "candidates": "all", "threshold": 0, "attention": "pairs"})
        assert len(grs.get.grn(adata, key="grn_ritini")) == 8 * 7
        assert adata.uns["grn_ritini"]["model"]["weights"]["graph_ode.func.gnn.odds"].shape == (4, 8, 8)

    def test_genes_and_regulators_can_be_named(self) -> None:
        adata, names = cells(), ["G00", "G05", "flat", "G02"]
        told = {**FAST, "prior": "full", "genes": names, "threshold": 0}
        grs.tl.build_grn(adata, method="ritini", options=told, tfs=["G02"])
        edges = grs.get.grn(adata, key="grn_ritini")
        assert edges[["tf", "gene"]].astype(str).to_numpy().tolist() == [["G02", "G00"], ["G02", "G05"]]
        assert grs.get.params(adata, key="grn_ritini")["dropped"]["genes_that_never_change"] == 1

    def test_weak_links_are_left_out(self, made: ad.AnnData) -> None:
        adata, all_links = cells(), grs.get.grn(made, key="grn_ritini")
        grs.tl.build_grn(adata, **GIVEN, options={**FAST, "top": 3})
        kept = grs.get.grn(adata, key="grn_ritini")
        np.testing.assert_array_equal(
            np.sort(kept["tf_gene_importance"]), np.sort(all_links["tf_gene_importance"])[-3:]
        )


class TestCheckpoints:
    def write(self, path: Path, **more: Any) -> RitiniNet:
        net = RitiniNet.drawn(7)
        losses = dict.fromkeys(("loss", "feature_loss", "graph_loss", "sparsity_loss"), 0.1)
        optimiser = torch.optim.Adam(net.parameters()).state_dict()
        state = {"epoch": 3, "model_state_dict": net.state_dict(), "optimizer_state_dict": optimiser, "n_genes": 8}
        torch.save({**state, **losses, **more}, path)
        return net

    @pytest.mark.parametrize("units", [(2.0, 0.5), (np.float64(2.0), np.float64(0.5)), (torch.tensor(2.0), 0.5)])
    def test_published_weights_are_used_as_they_are(self, tmp_path: Path, units: tuple[Any, Any]) -> None:
        adata, path = cells(), tmp_path / "best_model.pt"
        net = self.write(path, mean=units[0], std=units[1])
        grs.tl.build_grn(adata, **GIVEN, options={**FAST, "epochs": 0, "checkpoint": path})
        model = adata.uns["grn_ritini"]["model"]
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(model["weights"][name], value.numpy())
        assert set(model["mean"]) == {2.0}
        assert set(model["scale"]) == {0.5}
        assert len(adata.uns["grn_ritini"]["training"]) == 0

    def test_units_per_gene_follow_the_genes_that_are_named(self, tmp_path: Path) -> None:
        adata, path, names = cells(), tmp_path / "best_model.pt", list(GENES[::-1])
        self.write(path, mean=np.arange(8.0), std=np.arange(1.0, 9.0))
        told = {**FAST, "epochs": 1, "checkpoint": str(path)}
        with pytest.raises(ValueError, match=r"mean of the checkpoint.*Found: 8 numbers, 8 genes that are not named"):
            grs.tl.build_grn(adata, **GIVEN, options=told)
        grs.tl.build_grn(adata, **GIVEN, options={**told, "genes": names})
        np.testing.assert_array_equal(adata.uns["grn_ritini"]["model"]["mean"], np.arange(8.0)[::-1])

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "best_model.pt"
        told = {**FAST, "checkpoint": path}
        torch.save({"weights": torch.ones(2)}, path)
        with pytest.raises(ValueError, match=r"checkpoint of RiTINI with 'model_state_dict'\. Found: \[weights\]"):
            grs.tl.build_grn(cells(), **GIVEN, options=told)
        net = self.write(path)
        torch.save({"model_state_dict": {**net.state_dict(), "more": torch.ones(1)}}, path)
        with pytest.raises(ValueError, match=r"1 unexpected \[more\]"):
            grs.tl.build_grn(cells(), **GIVEN, options=told)
        with pytest.raises(ValueError, match=r"published weights are of the published form"):
            grs.tl.build_grn(cells(), **GIVEN, options={**told, "attention": "pairs"})


class TestKnockOuts:
    def test_changes_stand_by_window_and_reach_only_what_hears_of_the_gene(self, made: ad.AnnData) -> None:
        adata = made.copy()
        tf = str(PRIOR["tf"].value_counts().idxmax())
        grs.tl.simulate_ko(adata, tf, model="ritini", key="grn_ritini")
        stored, change = adata.uns["grn_ritini_ko"], adata.varm["grn_ritini_ko"]
        assert change.shape == (9, 22)
        assert stored["group_names"][-1] == f"{made.uns['grn_ritini']['model']['times'][-1]:g}"
        step = adata.varm["grn_ritini_ko_step"][:, 0]
        direct = PRIOR.loc[PRIOR["tf"] == tf, "gene"]
        assert set(adata.var_names[step == 1]) == set(direct)
        assert (np.abs(change[step == 1]).max(axis=1) > 0).all()
        assert (change[step < 0] == 0).all()
        assert (change[step == 0] < 0).all()
        assert grs.pl.perturbation(adata, key="grn_ritini_ko") is not None

    def test_genes_are_held_or_lose_their_links(self, made: ad.AnnData) -> None:
        adata = made.copy()
        tfs = list(PRIOR["tf"].value_counts().index[:2].astype(str))
        grs.tl.simulate_ko(adata, tfs, level={tfs[0]: "max", tfs[1]: "cut"}, model="ritini", key="grn_ritini")
        stored = adata.uns["grn_ritini_ko"]
        levels = dict(zip(stored["genes"], stored["levels"], strict=True))
        model = made.uns["grn_ritini"]["model"]
        np.testing.assert_allclose(levels[tfs[0]], model["values"][:, list(model["genes"]).index(tfs[0])].max())
        assert np.isnan(levels[tfs[1]])
        title = grs.pl.perturbation(adata, key="grn_ritini_ko").figure.axes[0].get_title(loc="left")
        assert f"{tfs[1]} without its links" in title
        with pytest.raises(ValueError, match=r"0 or more, or 'max'\. Found: 'cut'"):
            grs.tl.simulate_ko(adata, tfs[0], level="cut", key="grn_ritini")

    @pytest.mark.parametrize(
        ("genes", "options", "error", "text"),
        [
            ("G99", {}, KeyError, r"must be in the data .*unknown \[G99\]"),
            ("flat", {}, KeyError, r"unknown \[flat\]"),
            ("G00", {"level": -1}, ValueError, r"0 or more, or 'max'\. Found: -1"),
            ("G00", {"n_steps": 2}, ValueError, r"points of each window\. Found: \[n_steps\]"),
            ("G00", {"per_cell": True}, ValueError, r"Found: \[per_cell\]"),
        ],
    )
    def test_what_it_cannot_foretell_is_refused(
        self, made: ad.AnnData, genes: Any, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            grs.tl.simulate_ko(made, genes, model="ritini", key="grn_ritini", **options)
        assert "grn_ritini_ko" not in made.uns

    def test_another_network_has_no_such_model(self, toy: Any) -> None:
        grs.tl.build_grn(toy, method="correlation")
        with pytest.raises(ValueError, match=r"needs a network that RiTINI made\. Found: key='grn_correlation'"):
            grs.tl.simulate_ko(toy, "TF01", model="ritini", key="grn_correlation")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, r"must be told \[time_key\]"),
        ({**FAST, "knot": 2}, ValueError, r"unknown \[knot\]\. Fix: did you mean \[knots\]"),
        ({**FAST, "prior": "full"}, ValueError, r"give prior= or options=\{'prior': \.\.\.\}, not both"),
        ({**FAST, "time_key": "word"}, ValueError, r"times must be numbers: those of 'word'"),
        ({**FAST, "time_key": "day"}, ValueError, r"10 points at different times\. Found: 4 in 'day'.*method='flecs'"),
        ({**FAST, "genes": ["G01", "G1"]}, KeyError, r"unknown \[G1\]\. Fix: did you mean"),
        ({**FAST, "genes": ["flat", "G01"]}, ValueError, r"two genes that change along the trajectory\. Found: 1"),
        ({**FAST, "genes": ["G00", "G01"]}, ValueError, r"able to carry attention\. Found: none of the prior \(network of"),
        ({**FAST, "threshold": 1, "candidates": "all"}, ValueError, r"at least one link\. Found: none of \d+ candidates with a mean attention of 1"),
        ({**FAST, "candidates": "some"}, ValueError, r"candidates must be one of \[prior, all\]"),
        ({**FAST, "attention": "both"}, ValueError, r"attention must be one of \[shared, pairs\]"),
        ({**FAST, "rank": "score"}, ValueError, r"rank must be one of \[lift, attention\]"),
        ({**FAST, "n_points": 9}, ValueError, r"n_points must lie in \[10, inf\]"),
        ({**FAST, "epochs": 0}, ValueError, r"epochs must lie in \[1, inf\]"),
        ({**FAST, "dropout": 1}, ValueError, r"dropout must lie in"),
        ({**FAST, "top": 0}, ValueError, r"top must lie in"),
        ({**FAST, "checkpoint": "nowhere.pt"}, FileNotFoundError, r"checkpoint file must exist"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    adata = cells()
    with pytest.raises(error, match=text):
        grs.tl.build_grn(adata, **GIVEN, options=options)
    assert list(adata.uns) == []


def test_a_prior_that_grangers_test_leaves_empty_says_so() -> None:
    with pytest.raises(ValueError, match=r"none of the prior \(granger\) among 8 genes; the largest -log p is"):
        grs.tl.build_grn(cells(), method="ritini", options={**FAST, "min_surprise": 1e6})


def test_the_limit_of_memory_is_obeyed() -> None:
    with grs.settings.override(max_memory="1KB"), pytest.raises(ValueError, match=r"must stay below .*'1KB'.*8 genes"):
        grs.tl.build_grn(cells(), **GIVEN, options=FAST)
