from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.data.visible import bin_values, gene_rates, group_rates, hide


def counts(seed: int, shape: tuple[int, int] = (7, 30)) -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(seed).poisson(0.8, shape), dtype=np.float32)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_visible_counts_and_size_do_not_see_hidden_counts(seed):
    rng = np.random.default_rng(seed)
    x, other = counts(seed), counts(seed + 1)
    hidden = rng.random(x.shape) < 0.3
    changed = sp.csr_matrix(np.where(hidden, other.toarray(), x.toarray()))
    rates = gene_rates(counts(7))
    a, b = hide(x, hidden, rates), hide(changed, hidden, rates)
    np.testing.assert_array_equal(a.counts.toarray(), np.where(hidden, 0, x.toarray()))
    for left, right in ((a.counts.data, b.counts.data), (a.counts.indices, b.counts.indices), (a.size, b.size)):
        assert left.tobytes() == right.tobytes()


def test_size_of_an_unmasked_cell_is_its_total():
    x = counts(3)
    seen = hide(x, np.zeros(x.shape, dtype=bool), gene_rates(x))
    np.testing.assert_allclose(seen.size, np.maximum(x.sum(axis=1).A1, 1))


def test_size_does_not_depend_on_the_mask_on_average():
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.5, 1, 400)
    x = sp.csr_matrix(rng.poisson(rate, (300, 400)), dtype=np.float32)
    seen = hide(x, rng.random(x.shape) < 0.5, gene_rates(x))
    assert seen.size.mean() == pytest.approx(x.sum(axis=1).mean(), rel=0.02)


def test_a_cell_that_shows_nothing_counts_as_one_molecule():
    x = counts(1)
    assert (hide(x, np.ones(x.shape, dtype=bool), gene_rates(x)).size == 1).all()


def test_rates_sum_to_one_and_none_is_zero():
    x = counts(2) @ sp.csr_matrix(np.diag(np.arange(30) != 4).astype(np.float32))
    rates = gene_rates(x)
    assert rates.sum() == pytest.approx(1)
    assert rates[4] == rates.min() > 0
    by_group = group_rates(x, np.array([0, 0, 0, 1, 1, -1, 1]), 3, rates)
    np.testing.assert_allclose(by_group.sum(axis=1), 1)
    np.testing.assert_allclose(by_group[2], rates)  # a group without cells has the overall rates
    assert (by_group > 0).all()


def test_rates_need_counts():
    with pytest.raises(ValueError, match=r"cells with counts.*layer="):
        gene_rates(sp.csr_matrix((3, 4), dtype=np.float32))


@given(st.integers(0, 1000), st.sampled_from([3, 11, 51]))
@settings(max_examples=20, deadline=None)
def test_bins_equal_the_mean_rank_of_each_cell(seed, n_bins):
    from scipy.stats import rankdata

    x = counts(seed)
    got = bin_values(x, n_bins)
    for cell in range(x.shape[0]):
        part = slice(x.indptr[cell], x.indptr[cell + 1])
        value = x.data[part]
        slow = 1 + np.floor((rankdata(value) - 0.5) / max(value.size, 1) * (n_bins - 1))
        np.testing.assert_array_equal(got[part], slow)
    assert got.min(initial=1) >= 1
    assert got.max(initial=1) <= n_bins - 1


def test_bins_of_nothing_are_empty():
    assert bin_values(sp.csr_matrix((2, 3), dtype=np.float32), 5).size == 0
