"""`build_grn(method="dictys")`: evidence, groups, windows, readers, the figure, errors."""

from __future__ import annotations

import logging
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import grnformer_sc as grs

KEY, STEPS = "grn_dictys", 25
WINDOWED = {"steps": STEPS, "time_key": "pseudotime", "window": 150, "overlap": 100, "n_tfs": 3}


@pytest.fixture(scope="module")
def cells() -> MuData:
    mdata = grs.datasets.simulate_multiome(420, n_genes=60, n_tfs=8, n_types=2, rng=0)
    mdata["rna"].obs["pseudotime"] = mdata["rna"].obsm["truth_activity"].to_numpy()[:, 0]
    return mdata


@pytest.fixture(scope="module")
def truth(cells: MuData) -> pd.DataFrame:
    return cells["rna"].uns["truth"][["tf", "gene"]].astype(str).drop_duplicates()


@pytest.fixture(scope="module")
def built(cells: MuData) -> AnnData:
    """Networks of two groups by motifs, with windows in the larger one."""
    mdata = cells.copy()
    grs.tl.build_grn(mdata, method="dictys", groupby="cell_type", options=WINDOWED)
    return mdata["rna"]


@pytest.fixture(scope="module")
def large(built: AnnData) -> str:
    return str(built.obs["cell_type"].value_counts().index[0])


def test_motif_hits_make_candidates_and_groups_their_own_networks(built: AnnData) -> None:
    uns = built.uns[KEY]
    assert list(uns["group_names"]) == ["type1", "type2"]
    assert (uns["edges"]["evidence"] == "direct").all()
    one, two = (sp.csr_matrix(uns["networks"])[k * 60 : (k + 1) * 60] for k in range(2))
    assert one.nnz > 20
    assert two.nnz > 20
    assert (one != two).nnz > 20
    assert set(uns["edges"]["tf"]) <= set(built.var_names[built.var["is_tf"]])
    assert uns["training"]["step"].max() == STEPS


def test_few_tfs_of_a_gene_are_candidates(cells: MuData) -> None:
    mdata = cells.copy()
    grs.tl.build_grn(mdata, method="dictys", options={"steps": 2, "n_tfs": 1})
    assert mdata["rna"].uns[KEY]["edges"]["gene"].is_unique


def test_a_prior_limits_links_and_order_and_threads_change_no_bit(cells: MuData, truth: pd.DataFrame) -> None:
    one, two = cells["rna"].copy(), cells["rna"][:, ::-1].copy()
    options = {"method": "dictys", "prior": truth, "groupby": "cell_type", "options": {"steps": STEPS}}
    grs.tl.build_grn(one, **options, n_jobs=1)
    grs.tl.build_grn(two, **options, n_jobs=2)
    pd.testing.assert_frame_equal(one.uns[KEY]["edges"], two.uns[KEY]["edges"])
    assert (one.uns[KEY]["networks"] != two.uns[KEY]["networks"]).nnz == 0
    edges = one.uns[KEY]["edges"].astype({"tf": str, "gene": str})
    assert pd.MultiIndex.from_frame(edges[["tf", "gene"]]).isin(pd.MultiIndex.from_frame(truth)).all()
    assert (edges["evidence"] == "prior").all()
    grs.tl.simulate_ko(one, edges["tf"].iloc[0], key=KEY)
    assert np.abs(one.varm[f"{KEY}_ko"]).sum() > 0


def test_large_groups_are_sampled_and_genes_limited(cells: MuData, truth: pd.DataFrame) -> None:
    rna = cells["rna"].copy()
    options = {"steps": 2, "most_cells": 100, "window": 100, "overlap": 0, "n_genes": 20, "min_counts": 1}
    grs.tl.build_grn(rna, method="dictys", prior=truth, options=options)
    assert (~np.isnan(rna.uns[KEY]["level"])).sum() <= 20


class TestEffects:
    def test_kinds_follow_from_the_stored_weights(self, built: AnnData) -> None:
        direct, normalized, total = (
            grs.get.tf_effects(built, kind=kind, group="type2") for kind in ("direct", "normalized", "total")
        )
        edges = grs.get.grn(built, group="type2", key=KEY)
        stored = sp.csr_matrix(built.uns[KEY]["networks"])[60:]
        genes = pd.Index(built.uns[KEY]["genes"])
        row = edges.iloc[0]
        value = stored[genes.get_loc(row["tf"]), genes.get_loc(row["gene"])]
        assert direct.loc[row["tf"], row["gene"]] == value
        sd = pd.Series(built.uns[KEY]["sd"][1], index=genes)
        assert normalized.loc[row["tf"], row["gene"]] == pytest.approx(value * sd[row["tf"]] / sd[row["gene"]])
        assert (total.to_numpy() != 0).sum() > 1.5 * (direct.to_numpy() != 0).sum()
        assert total.shape == direct.shape
        assert all(total.loc[tf, tf] == 0 for tf in total.index)

    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({}, ValueError, r"group must name one of several\. Found: None; \[type1, type2\]"),
            ({"group": "x"}, KeyError, "group='x' is not there"),
            ({"group": "type1", "kind": "indirect"}, ValueError, r"kind must be one of \[direct, normalized, total\]"),
            ({"key": "grn"}, KeyError, "needs 'grn'"),
        ],
    )
    def test_wrong_names_are_told(
        self, built: AnnData, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            grs.get.tf_effects(built, **options)


class TestCurves:
    def test_windows_hold_the_cells_of_their_time(self, built: AnnData, large: str) -> None:
        table = built.uns[KEY]["windows"]["table"]
        time = built.obs["pseudotime"][(built.obs["cell_type"] == large).to_numpy()]
        own = table[table["group"] == large]
        assert (own["n_cells"] == 150).all()
        assert own["first"].iloc[0] == pytest.approx(time.min())
        assert own["last"].iloc[-1] == pytest.approx(time.max())
        assert own["time"].is_monotonic_increasing
        for row in own.itertuples():
            assert time.between(row.first, row.last).sum() == 150

    def test_a_narrow_kernel_gives_the_windows_themselves(self, built: AnnData, large: str) -> None:
        links = grs.get.regulation_curves(built, kind="links", group=large, n_points=2, bandwidth=1e-6)
        windows = built.uns[KEY]["windows"]
        last = int(np.flatnonzero((windows["table"]["group"] == large).to_numpy())[-1])
        network = sp.csr_matrix(windows["networks"])[60 * last : 60 * (last + 1)]
        genes = pd.Index(built.uns[KEY]["genes"])
        tf, gene = (genes.get_indexer(links.columns.get_level_values(level)) for level in ("tf", "gene"))
        np.testing.assert_allclose(links.iloc[-1], np.asarray(network[tf, gene]).ravel())
        assert links.index[-1] == windows["table"]["time"].iloc[last]

    def test_regulation_counts_targets_and_expression_is_a_share(self, built: AnnData, large: str) -> None:
        every = grs.get.regulation_curves(built, group=large, strongest=1.0, n_points=3, bandwidth=1e9)
        links = grs.get.regulation_curves(built, kind="links", group=large, n_points=3, bandwidth=1e9)
        n_targets = (links.iloc[0] != 0).groupby(level="tf").sum()
        np.testing.assert_allclose(every.iloc[0], np.log2(n_targets[every.columns] + 1))
        level = grs.get.regulation_curves(built, kind="expression", group=large, tfs=every.columns[:2], n_points=3)
        assert level.shape == (3, 2)
        assert (level < 0).all().all()

    def test_unknown_tfs_and_missing_windows_are_told(self, built: AnnData, cells: MuData, large: str) -> None:
        with pytest.raises(KeyError, match=r"must have links in the windows.*'TFX' \(nearest"):
            grs.get.regulation_curves(built, group=large, tfs=["TFX"])
        rna = cells["rna"].copy()
        grs.tl.build_grn(rna, method="dictys", prior=rna.uns["truth"], options={"steps": 1})
        with pytest.raises(KeyError, match=r"needs 'windows'.*time_key"):
            grs.get.regulation_curves(rna)


class TestFigure:
    def test_curves_with_the_widest_range_are_drawn_and_named(self, built: AnnData, large: str) -> None:
        table = grs.get.regulation_curves(built, kind="expression", group=large)
        widest = (table.max() - table.min()).nlargest(3).index
        ax = grs.pl.regulation_curves(built, kind="expression", group=large, n_top=3)
        assert {text.get_text() for text in ax.texts} == set(widest)
        for line, name in zip(ax.lines, widest, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), table[name])
        assert ax.get_title(loc="right") == f"3 of {table.shape[1]} TFs"
        heights = sorted(text.xy[1] for text in ax.texts)
        assert min(np.diff(heights)) > 0
        plt.close(ax.figure)

    def test_nothing_to_show_is_an_error(self, built: AnnData, large: str) -> None:
        with pytest.raises(ValueError, match="n_top must be at least 1"):
            grs.pl.regulation_curves(built, group=large, n_top=0)


class TestErrors:
    def test_evidence_is_asked_for(self, cells: MuData) -> None:
        rna = cells["rna"].copy()
        with pytest.raises(ValueError, match=r"needs evidence of which TFs.*pass prior="):
            grs.tl.build_grn(rna, method="dictys", tfs="is_tf")
        assert KEY not in rna.uns

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"step": 3}, "did you mean"),
            ({"lr": 0}, "lr must lie in"),
            ({"overlap": 1000}, "overlap must lie in"),
            ({"window": 6000, "overlap": 0}, "a window is not larger than most_cells"),
            ({"time_key": "pseudotime"}, r"a window has 1000 cells.*at most 420 cells"),
            ({"min_counts": 10**9}, "candidate link between two genes that are measured"),
        ],
    )
    def test_wrong_options_are_named(
        self, cells: MuData, truth: pd.DataFrame, options: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(ValueError, match=text):
            grs.tl.build_grn(cells["rna"].copy(), method="dictys", prior=truth, options=options)

    def test_small_groups_have_no_network_and_are_named(
        self, cells: MuData, truth: pd.DataFrame, caplog: pytest.LogCaptureFixture
    ) -> None:
        rna = cells["rna"].copy()
        rna.obs["part"] = ["few"] * 20 + ["many"] * 400
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(rna, method="dictys", prior=truth, groupby="part", options={"steps": 2})
        assert "no network of [few], which have fewer than 50 cells" in caplog.text
        assert rna.uns[KEY]["params"]["dropped"]["groups_with_few_cells"] == 1
        with pytest.raises(ValueError, match="a group with a model is needed"):
            grs.get.tf_effects(rna, group="few")

    def test_a_rate_that_is_too_large_is_told(self, cells: MuData, truth: pd.DataFrame) -> None:
        options = {"steps": 200, "lr": 10, "warmup": 0, "scale": 1e12}
        with pytest.raises(FloatingPointError, match=r"at step .*give a smaller lr"):
            grs.tl.build_grn(cells["rna"].copy(), method="dictys", prior=truth, options=options)
