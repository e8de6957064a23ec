"""The panels show the predicted and measured changes of one perturbation, and the table they come from."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def predicted():
    cells = grs.datasets.simulate_perturbations(30, n_genes=60, n_tfs=8, rng=0)
    grs.pp.perturbation_setup(cells)
    grs.pp.split_perturbations(cells, strategy="leave_one_out")
    return grs.tl.perturb(cells, key=None)


def test_the_table_is_a_row_of_the_prediction_largest_first(predicted):
    table = grs.get.predicted_change(predicted, "TF03")
    at = predicted.var_names.get_indexer(table["gene"])
    row = predicted.obs_names.get_loc("TF03")
    for column, layer in (("change", "delta"), ("observed", "observed"), ("ci_low", "ci_low")):
        np.testing.assert_array_equal(table[column], predicted.layers[layer][row, at])
    np.testing.assert_allclose(table["control"] + table["change"], predicted.X[row, at], rtol=1e-5)
    assert table["change"].abs().is_monotonic_decreasing
    assert table.loc[table["perturbed"], "gene"].tolist() == ["TF03"]


def test_dots_are_all_genes_and_bars_the_largest_measured_changes(predicted):
    left, right = grs.pl.predicted_change(predicted, "TF03", top=6)
    table = grs.get.predicted_change(predicted, "TF03")
    shown = np.concatenate([np.asarray(part.get_offsets()) for part in left.collections])
    expected = table[["observed", "change"]].to_numpy()
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(expected, axis=0), rtol=1e-6)
    names = [tick.get_text() for tick in right.get_yticklabels()]
    most = table.iloc[np.argsort(-table["observed"].abs(), kind="stable")[:6]]
    assert set(names) == set(most["gene"])
    assert f"r = {np.corrcoef(*expected.T)[0, 1]:.2f}" in [text.get_text() for text in left.texts]


def test_no_label_lies_on_another(predicted, overlaps):
    for name in ("TF01", "TF05"):
        left, right = grs.pl.predicted_change(predicted, name)
        left.figure.canvas.draw()
        texts = [*left.texts, left.xaxis.label, left._left_title, *right.get_yticklabels(), right.xaxis.label]
        assert overlaps([*texts, *right.get_legend().get_texts()], left.figure) == []


def test_what_was_not_measured_is_drawn_without_it_on_given_axes(predicted):
    new = predicted[:1].copy()
    new.layers["observed"][:] = np.nan
    figure, axes = plt.subplots(1, 2)
    left, right = grs.pl.predicted_change(new, "TF01", axes=list(axes))
    assert plt.get_fignums() == [figure.number]
    assert left is axes[0]
    assert left.get_xlabel() == "Mean in control cells"
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["predicted, 95 %"]


def test_wrong_input_is_named(predicted):
    with pytest.raises(KeyError, match=r"must be among the predicted ones.*TF01"):
        grs.pl.predicted_change(predicted, "TF99")
    with pytest.raises(KeyError, match="pass what"):
        grs.get.predicted_change(ad.AnnData(np.ones((1, 1))), "A")
    with pytest.raises(ValueError, match="top"):
        grs.pl.predicted_change(predicted, "TF01", top=0)
    with pytest.raises(ValueError, match="two axes are needed"):
        grs.pl.predicted_change(predicted, "TF01", axes=[plt.subplots()[1]])
    with pytest.raises(KeyError, match="context='x'"):
        grs.get.predicted_change(predicted, "TF01", context="x")
    several = predicted[["TF01", "TF02"]].copy()
    several.obs["perturbation"] = ["TF01", "TF01"]
    several.obs["context"] = ["x", "y"]
    with pytest.raises(ValueError, match="several contexts"):
        grs.get.predicted_change(several, "TF01")
