from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.data.visible import count_rates, hide, quantile_edges, thin

rates_of = runpy.run_path(str(Path(__file__).with_name("toy.py")))["rates_of"]


def counts(seed: int, shape: tuple[int, int] = (7, 30)) -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(seed).poisson(0.8, shape), dtype=np.float32)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_visible_counts_and_size_do_not_see_hidden_counts(seed):
    rng = np.random.default_rng(seed)
    x, other = counts(seed), counts(seed + 1)
    hidden = rng.random(x.shape) < 0.3
    changed = sp.csr_matrix(np.where(hidden, other.toarray(), x.toarray()))
    rates = rates_of(counts(7))
    a, b = hide(x, hidden, rates), hide(changed, hidden, rates)
    np.testing.assert_array_equal(a.counts.toarray(), np.where(hidden, 0, x.toarray()))
    for left, right in ((a.counts.data, b.counts.data), (a.counts.indices, b.counts.indices), (a.size, b.size)):
        assert left.tobytes() == right.tobytes()


def test_size_of_an_unmasked_cell_is_its_total():
    x = counts(3)
    seen = hide(x, np.zeros(x.shape, dtype=bool), rates_of(x))
    np.testing.assert_allclose(seen.size, np.maximum(x.sum(axis=1).A1, 1))


def test_size_does_not_depend_on_the_mask_on_average():
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.5, 1, 400)
    x = sp.csr_matrix(rng.poisson(rate, (300, 400)), dtype=np.float32)
    seen = hide(x, rng.random(x.shape) < 0.5, rates_of(x))
    assert seen.size.mean() == pytest.approx(x.sum(axis=1).mean(), rel=0.02)


def test_a_cell_that_shows_nothing_counts_as_one_molecule():
    x = counts(1)
    assert (hide(x, np.ones(x.shape, dtype=bool), rates_of(x)).size == 1).all()


def test_rates_sum_to_one_and_none_is_zero():
    x = counts(2) @ sp.csr_matrix(np.diag(np.arange(30) != 4).astype(np.float32))
    rates = rates_of(x)
    assert rates.sum() == pytest.approx(1)
    assert rates[4] == rates.min() > 0
    all_cells = count_rates(Rows(x), np.array([0, 0, 0, 1, 1, -1, 1]), 3, np.arange(7))
    np.testing.assert_allclose(all_cells.groups.sum(axis=1), 1)
    np.testing.assert_allclose(all_cells.groups[2], rates)  # a group without cells has the overall rates
    assert (all_cells.groups > 0).all()


def test_rates_of_chosen_cells_are_those_of_a_matrix_of_them_in_any_blocks():
    x, codes, chosen = counts(5, (40, 30)), np.arange(40) % 3 - (np.arange(40) % 9 == 0), np.r_[3:17, 30, 38]
    whole = count_rates(Rows(x[chosen]), codes[chosen], 3, np.arange(chosen.size))
    with grs.settings.override(chunk_cells=7):
        part = count_rates(Rows(x), codes, 3, chosen)
    np.testing.assert_allclose(part.genes, whole.genes, rtol=1e-12)
    np.testing.assert_allclose(part.groups, whole.groups, rtol=1e-12)
    assert part.mean_size == pytest.approx(x[chosen].sum() / chosen.size)


def test_rates_need_counts():
    with pytest.raises(ValueError, match=r"cells with counts.*layer="):
        rates_of(sp.csr_matrix((3, 4), dtype=np.float32))


@given(st.integers(0, 1000), st.sampled_from([3, 11, 51]))
@settings(max_examples=20, deadline=None)
def test_edges_are_numpys_quantiles_of_each_cell(seed, n_bins):
    x = counts(seed)
    got = quantile_edges(x, n_bins)
    for cell in range(x.shape[0]):
        slow = np.quantile(x.data[x.indptr[cell] : x.indptr[cell + 1]], np.linspace(0, 1, n_bins - 1))
        np.testing.assert_allclose(got[cell], slow, rtol=1e-6)
    assert (np.diff(got, axis=1) >= 0).all()


def test_an_empty_cell_has_edges_of_zero():
    assert (quantile_edges(sp.csr_matrix((2, 3), dtype=np.float32), 5) == np.zeros((2, 4))).all()


def test_thinning_keeps_half_of_the_cells_and_a_binomial_share_of_the_others():
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rng.poisson(5, (2000, 50)), dtype=np.float32)
    before = hide(x, np.zeros(x.shape, dtype=bool), rates_of(x))
    after = thin(before, rng)
    share = after.counts.sum(axis=1).A1 / before.counts.sum(axis=1).A1
    assert (after.counts.toarray() <= before.counts.toarray()).all()
    assert (share == 1).mean() == pytest.approx(0.5, abs=0.05)
    thinned = share[share < 1]
    assert (thinned.mean(), thinned.var()) == pytest.approx((0.5, 1 / 20), abs=0.03)  # moments of Beta(2, 2)
    np.testing.assert_allclose(after.size, np.maximum(before.size * share, 1), rtol=1e-6)
    assert (after.counts.data > 0).all()
