"""Figures of drug sensitivity show the stored numbers."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def scored():
    """Cells with sensitivity and an embedding; never change them."""
    cells, lines = grs.datasets.simulate_drug_lines(80, 120, n_genes=60, n_tfs=8, rng=0)
    grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=1)
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(120, 2))
    return cells


def test_the_most_sensitive_cells_are_drawn_last_in_their_colour(scored):
    ax = grs.pl.drug_sensitivity(scored, "drug1")
    points = ax.collections[0]
    order = np.argsort(scored.obs["sens_drug1"].to_numpy(), kind="stable")
    np.testing.assert_array_equal(points.get_array(), scored.obs["sens_drug1"].to_numpy()[order])
    np.testing.assert_array_equal(points.get_offsets(), scored.obsm["X_umap"][order])
    assert points.get_clim() == (0, 1)
    assert ax.get_title(loc="left").startswith("drug1 (AUC of left-out lines 0.")


def test_violins_show_the_medians_of_the_groups(scored):
    ax = grs.pl.drug_sensitivity(scored, "drug1", kind="violin", groupby="drug1")
    assert [tick.get_text().split("\n")[0] for tick in ax.get_xticklabels()] == ["resistant", "sensitive"]
    medians = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1]
    expected = scored.obs.groupby("drug1", observed=True)["sens_drug1"].median()
    np.testing.assert_allclose(medians, expected, rtol=1e-6)


def test_the_curve_comes_with_the_area_and_its_interval(scored):
    ax = grs.pl.drug_sensitivity(scored, "drug1", kind="roc", groupby="drug1", n_draws=50)
    found = grs.metrics.auc_interval(scored.obs["drug1"], scored.obs["sens_drug1"], n_draws=50)
    said = f"AUC {found['auc']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    assert ax.texts[0].get_text() == f"{said}\n60 of 120 cells sensitive"
    curve = grs.metrics.roc_curve(scored.obs["drug1"], scored.obs["sens_drug1"], n_draws=50)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), curve["tpr"])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"drug": "drug2"}, KeyError, "sensitivity of the cells to 'drug2'"),
        ({"basis": "X_other"}, KeyError, "X_other"),
        ({"kind": "violin"}, ValueError, "needs groupby"),
        ({"kind": "roc", "groupby": "cell_type"}, ValueError, "must hold 1 or 0"),
        ({"kind": "bar"}, ValueError, "kind must be one of"),
    ],
)
def test_what_cannot_be_drawn_is_named(scored, options, error, match):
    with pytest.raises(error, match=match):
        grs.pl.drug_sensitivity(scored, **{"drug": "drug1", **options})


def test_labels_of_one_class_have_no_curve(scored):
    cells = scored.copy()
    cells.obs["one"] = 1
    with pytest.raises(ValueError, match="both classes"):
        grs.pl.drug_sensitivity(cells, "drug1", kind="roc", groupby="one")
