"""The moderated t: equal to a plain twin, to scipy without a prior, calibrated, and blind to what it must not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import false_discovery_control, kstest, ttest_1samp, ttest_ind
from scipy.stats import t as student

from grnformer_sc.grn.moderated import (
    NO_PRIOR,
    Design,
    Prior,
    choose_design,
    compare,
    false_discovery,
    fit_prior,
    moderated_t,
    trigamma_inverse,
)


def variances(rng, d0, s0, df, n):
    """Variances of rows whose true variance is d0 s0^2 over a chi-square with d0 degrees of freedom."""
    true = d0 * s0**2 / rng.chisquare(d0, n) if np.isfinite(d0) else np.full(n, s0**2)
    return true * rng.chisquare(df, n) / df


def test_equal_to_a_plain_twin():
    rng = np.random.default_rng(0)
    d = np.array([3.0, 4, 5] * 20)
    s2, estimate = variances(rng, 4.0, 0.2, d, 60), rng.normal(0, 0.2, 60)
    e = [np.log(s2[i]) - digamma(d[i] / 2) + np.log(d[i] / 2) for i in range(60)]
    mean = sum(e) / 60
    spread = sum((x - mean) ** 2 * 60 / 59 - polygamma(1, d[i] / 2) for i, x in enumerate(e)) / 60
    d0 = 2 * brentq(lambda y: polygamma(1, y) - spread, 1e-3, 1e3, xtol=1e-13)
    s02 = np.exp(mean + digamma(d0 / 2) - np.log(d0 / 2))
    found = moderated_t(estimate, s2, np.full(60, 0.25), d)
    assert found.prior.df == pytest.approx(d0, rel=1e-8)
    assert found.prior.variance == pytest.approx(s02, rel=1e-8)
    for i in range(60):
        t = estimate[i] / np.sqrt((d0 * s02 + d[i] * s2[i]) / (d0 + d[i]) * 0.25)
        assert found.statistic[i] == pytest.approx(t, rel=1e-8)
        assert found.p[i] == pytest.approx(2 * student.sf(abs(t), d0 + d[i]), rel=1e-8)


@pytest.mark.parametrize("kind", ["paired", "independent"])
def test_without_a_prior_it_is_the_ordinary_t(kind):
    rng = np.random.default_rng(1)
    group, reference = rng.normal(0.3, 1, (5, 7)), rng.normal(0, 1, (5, 7))
    used = np.ones(5, bool)
    if kind == "paired":
        found, expected = compare(group, reference, Design("paired", used, used)), ttest_1samp(group - reference, 0)
    else:
        ours = np.array([1, 1, 1, 0, 0], bool)
        found, expected = (
            compare(group, reference, Design("independent", ours, ~ours)),
            ttest_ind(group[:3], reference[3:]),
        )
    assert found.test.prior == NO_PRIOR  # seven rows teach nothing
    np.testing.assert_allclose(found.test.statistic, expected.statistic)
    np.testing.assert_allclose(found.test.p, expected.pvalue)
    interval = expected.confidence_interval() if kind == "paired" else expected.confidence_interval(0.95)
    np.testing.assert_allclose(found.interval(), interval)


@pytest.mark.parametrize("tiny", [1e-6, 1e-9])
def test_a_weaker_and_weaker_prior_ends_in_the_ordinary_t(tiny):
    rng = np.random.default_rng(2)
    estimate, s2, df = rng.normal(size=30), rng.chisquare(3, 30) / 3, np.full(30, 3.0)
    plain = moderated_t(estimate, s2, np.ones(30), df, prior=NO_PRIOR)
    nearly = moderated_t(estimate, s2, np.ones(30), df, prior=Prior(tiny, 1.0))
    np.testing.assert_allclose(nearly.p, plain.p, rtol=100 * tiny)


@pytest.mark.parametrize("d0", [3.0, 10.0, np.inf])
def test_the_prior_is_recovered(d0):
    found = fit_prior(variances(np.random.default_rng(3), d0, 0.5, 4.0, 20_000), np.full(20_000, 4.0))
    assert np.sqrt(found.variance) == pytest.approx(0.5, rel=0.03)
    assert found.df == pytest.approx(d0, rel=0.1) if np.isfinite(d0) else found.df > 100


def test_moderation_can_be_left_out():
    values, ours = np.random.default_rng(7).normal(size=(6, 50)), np.arange(6) < 3
    found = compare(values, values, Design("independent", ours, ~ours), moderate=False).test
    np.testing.assert_allclose(found.p, ttest_ind(values[:3], values[3:]).pvalue)


def test_p_values_are_uniform_where_nothing_differs_and_power_is_gained():
    rng = np.random.default_rng(4)
    spread = np.sqrt(4 / rng.chisquare(4, 4000))
    values = rng.normal(0, spread, (6, 4000))
    shifted = values + np.where(np.arange(6) < 3, 2.0, 0.0)[:, None]
    ours = np.arange(6) < 3
    design = Design("independent", ours, ~ours)
    assert kstest(compare(values, values, design).test.p, "uniform").pvalue > 0.01
    moderated, plain = compare(shifted, shifted, design).test.p, ttest_ind(shifted[:3], shifted[3:]).pvalue
    assert (false_discovery(moderated) <= 0.05).sum() > 2 * (false_discovery_control(plain) <= 0.05).sum()


@given(st.floats(1e-6, 1e6))
def test_trigamma_is_inverted(x):
    assert float(polygamma(1, trigamma_inverse(x))) == pytest.approx(x, rel=1e-6)


def test_missing_values_leave_out_samples_row_by_row():
    rng = np.random.default_rng(5)
    group, reference = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    group[:2, 1], reference[2, 1], group[1:, 2], reference[:, 3] = np.nan, np.nan, np.nan, np.nan
    every = np.ones(6, bool)
    paired = compare(group, reference, Design("paired", every, every))
    assert paired.n_group.tolist() == [6, 3, 1, 0]
    assert paired.test.p[1] == pytest.approx(ttest_1samp((group - reference)[3:, 1], 0).pvalue)
    assert np.isnan(paired.test.p).tolist() == [False, False, True, True]
    assert paired.difference[2] == pytest.approx(group[0, 2] - reference[0, 2])
    apart = compare(group, reference, Design("independent", every, every))
    assert (apart.n_group.tolist(), apart.n_reference.tolist()) == ([6, 4, 1, 6], [6, 5, 6, 0])
    assert apart.test.p[1] == pytest.approx(ttest_ind(group[2:, 1], np.delete(reference[:, 1], 2)).pvalue)
    assert np.isnan(apart.test.p).tolist() == [False, False, True, True]


def test_a_row_that_never_varies_has_no_test_and_no_say():
    rng = np.random.default_rng(6)
    values = rng.normal(size=(8, 40))
    constant = np.column_stack([values, np.full(8, 0.3), np.zeros(8)])
    ours = np.arange(8) < 4
    design = Design("independent", ours, ~ours)
    found, without = compare(constant, constant, design).test, compare(values, values, design).test
    assert np.isnan(found.p[40:]).all()
    np.testing.assert_array_equal(found.p[:40], without.p)


def sides(*pattern):
    """Samples by the sides they have: "b" both, "g" group, "r" reference, "." none."""
    return tuple(np.array([p in (side, "b") for p in pattern[0]]) for side in "gr")


@pytest.mark.parametrize(
    ("pattern", "kind", "used"),
    [
        ("bbb", "paired", "bbb"),
        ("gggrr", "independent", "gggrr"),
        ("bbbbg.r", "paired", "bbbb..."),
        ("bbgggrrr", "independent", "..gggrrr"),
        ("bbggrr", "independent", "..ggrr"),
        ("bbgr", "paired", "bb.."),
        ("bbbggrr", "paired", "bbb...."),
        ("gr", "none", "gr"),
        ("gggr", "none", "gggr"),
        ("b", "none", "b"),
        ("..", "none", ".."),
    ],
)
def test_no_sample_stands_on_both_sides_unless_all_are_pairs(pattern, kind, used):
    design = choose_design(*sides(pattern))
    assert design.kind == kind
    for found, expected in zip((design.group, design.reference), sides(used), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rates_pass_over_rows_without_a_test():
    p = np.array([0.01, np.nan, 0.2, 0.03])
    np.testing.assert_allclose(false_discovery(p)[[0, 2, 3]], false_discovery_control(p[[0, 2, 3]]))
    assert np.isnan(false_discovery(p)[1])
    assert np.isnan(false_discovery(np.full(3, np.nan))).all()
