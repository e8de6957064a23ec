"""Simulated lines and cells: the same bytes, the planted response, and batches."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs

SIZE = {"n_genes": 80, "n_tfs": 8, "n_types": 2}


def test_same_seed_same_bytes_and_another_seed_other_data():
    one, two, other = (grs.datasets.simulate_drug_lines(60, 80, rng=seed, **SIZE) for seed in (0, 0, 1))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.X.toarray() if hasattr(first.X, "toarray") else first.X,
                                      second.X.toarray() if hasattr(second.X, "toarray") else second.X)  # fmt: skip
        assert first.obs.equals(second.obs)
    assert not one[1].obs["drug1"].equals(other[1].obs["drug1"])


def test_response_follows_the_activity_of_the_targets():
    cells, lines = grs.datasets.simulate_drug_lines(100, 400, noise=0, missing=0.2, rng=0, **SIZE)
    targets = cells.uns["drugs"].query("drug == 'drug2'")["tf"]
    driven = cells.obsm["truth_activity"][targets].mean(axis=1)
    assert grs.metrics.roc_auc(cells.obs["drug2"], driven) > 0.999
    assert lines.obs["drug2"].isna().sum() == 20
    assert set(targets) <= set(cells.uns["truth"]["tf"])
    loose, _ = grs.datasets.simulate_drug_lines(100, 400, planted=False, rng=0, **SIZE)
    assert 0.4 < grs.metrics.roc_auc(loose.obs["drug2"], driven) < 0.6


def test_platforms_differ_by_a_factor_of_every_gene():
    apart = {}
    for shift in (0.0, 1.0):
        cells, lines = grs.datasets.simulate_drug_lines(200, 2000, shift=shift, rng=0, **SIZE)
        rate = np.asarray(cells.X.mean(axis=0)).ravel()
        bulk = np.exp2(lines.X).mean(axis=0)
        apart[shift] = np.std(np.log(bulk / bulk.sum()) - np.log(rate / rate.sum()))
    assert apart[0.0] < 0.3
    assert apart[1.0] > 0.8


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.4, 0.6), (1.0, 1.0, 1.0)])
def test_batches_follow_the_response_as_far_as_asked(share, low, high):
    cells, _ = grs.datasets.simulate_drug_lines(40, 400, confounding=share, rng=0, **SIZE)
    equal = (cells.obs["batch"] == "batch2") == (cells.obs["drug1"] == 1)
    assert low <= equal.mean() <= high


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_lines": 1}, "n_lines"),
        ({"missing": 2}, "missing"),
        ({"n_targets": 99}, "n_targets"),
        ({"depth": 0}, "depth"),
    ],
)
def test_bad_sizes_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        grs.datasets.simulate_drug_lines(**{**SIZE, **options})
