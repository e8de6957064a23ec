"""A screen whose knock-outs act through the planted links alone."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs


def logs(adata):
    return np.log1p(adata.X.toarray() / np.asarray(adata.X.sum(axis=1)) * 1e4)


def test_targets_move_as_their_sign_says_and_others_do_not():
    cells = grs.datasets.simulate_perturbations(150, n_genes=150, n_tfs=10, n_doubles=2, rng=4)
    x, label = logs(cells), cells.obs["perturbation"].astype(str).to_numpy()
    truth, agree, others = cells.uns["truth"], [], []
    for tf in [f"TF{i:02d}" for i in range(1, 11)]:
        shift = x[label == tf].mean(axis=0) - x[label == "control"].mean(axis=0)
        own = truth[truth["tf"] == tf].drop_duplicates("gene")
        at = cells.var_names.get_indexer(own["gene"])
        agree.append(np.mean(shift[at] * own["sign"].to_numpy() < 0))
        aside = np.setdiff1d(np.arange(cells.n_vars), [*at, cells.var_names.get_loc(tf)])
        others.append(np.abs(shift[aside]).mean() / np.abs(shift[at]).mean())
        assert cells.X[label == tf][:, cells.var_names.get_loc(tf)].sum() == 0
    assert np.mean(agree) > 0.7
    assert np.mean(others) < 0.7
    double = next(name for name in np.unique(label) if "+" in name)
    for tf in double.split("+"):
        assert cells.X[label == double][:, cells.var_names.get_loc(tf)].sum() == 0


def test_same_number_same_bytes_and_wrong_sizes_are_named():
    first, again = (grs.datasets.simulate_perturbations(10, n_genes=40, n_tfs=6, n_types=2, rng=1) for _ in range(2))
    np.testing.assert_array_equal(first.X.toarray(), again.X.toarray())
    assert first.obs.equals(again.obs)
    assert first.obs["perturbation"].value_counts().to_dict()["control"] == 40
    with pytest.raises(ValueError, match="n_doubles"):
        grs.datasets.simulate_perturbations(10, n_genes=40, n_tfs=3, n_doubles=4)
    with pytest.raises(ValueError, match="n_genes"):
        grs.datasets.simulate_perturbations(10, n_genes=5, n_tfs=6)
