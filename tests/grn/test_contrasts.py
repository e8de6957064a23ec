"""eRegulons compared between samples: the table of a plain loop, calibration where cells mislead, and invariances."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, kstest, mannwhitneyu, ttest_ind, ttest_rel

from grnformer_sc.grn.contrasts import Labels, rank_table, separation, unit_sums

N_DONORS, N_CELLS = 8, 60


def cells_of_donors(rng, n_eregulons, *, shift=0.0, paired=False, donor_sd=0.05):
    """AUC of cells with donor effects; the condition moves the first ten eRegulons by `shift`."""
    sample = np.repeat(np.arange(N_DONORS), N_CELLS)
    level = np.tile([0, 1], sample.size // 2) if paired else (sample % 2)
    auc = (
        0.4 + rng.normal(0, donor_sd, (N_DONORS, n_eregulons))[sample] + rng.normal(0, 0.1, (sample.size, n_eregulons))
    )
    auc[level == 0, :10] += shift
    return auc.astype(np.float32), labels_of(level, sample)


def labels_of(level, sample, within=None):
    n = level.size
    return Labels(
        np.asarray(level), ("drug", "none"), np.asarray(sample), tuple(f"d{i}" for i in range(N_DONORS)),
        np.zeros(n, np.int64) if within is None else within, ("",) if within is None else ("A", "B"),
    )  # fmt: skip


def ranked(auc, labels, groups=("drug",), reference="none", min_cells=10):
    names = [f"TF{i:03d}|act" for i in range(auc.shape[1])]
    table, contrasts = rank_table(auc, names, labels, groups, reference, min_cells=min_cells)
    return table.astype({"eregulon": str, "group": str, "within": str}), contrasts


def by_name(table):
    return table.set_index("eregulon").sort_index()


@pytest.mark.parametrize("paired", [True, False])
def test_equal_to_a_loop_over_eregulons(paired):
    auc, labels = cells_of_donors(np.random.default_rng(0), 6, paired=paired)
    table = by_name(ranked(auc, labels)[0])
    for j in range(6):
        values = pd.Series(auc[:, j].astype(float)).groupby([labels.level, labels.sample]).mean()
        ours, theirs = values.loc[0], values.loc[1]
        expected = (ttest_rel if paired else ttest_ind)(ours, theirs)
        row = table.iloc[j]
        assert row["mean_group"] == pytest.approx(ours.mean())
        assert row["difference"] == pytest.approx(ours.mean() - theirs.mean())
        assert row["statistic"] == pytest.approx(expected.statistic)  # six rows: no prior
        assert row["p"] == pytest.approx(expected.pvalue)
        wins = mannwhitneyu(auc[labels.level == 0, j], auc[labels.level == 1, j]).statistic
        assert row["auroc"] == pytest.approx(wins / (labels.level == 0).sum() / (labels.level == 1).sum())
    assert (table["n_samples_group"] == (8 if paired else 4)).all()


def test_samples_hold_the_nominal_rate_where_cells_do_not():
    """Donors differ, the condition does nothing: a test between cells calls most eRegulons different, this one hardly any."""
    rng = np.random.default_rng(1)
    p, found, naive = [], [], []
    for _ in range(25):
        auc, labels = cells_of_donors(rng, 40)
        table = ranked(auc, labels)[0]
        p.append(table["p"])
        found.append((table["fdr"] <= 0.05).any())
        cells = ttest_ind(auc[labels.level == 0], auc[labels.level == 1], equal_var=False).pvalue
        naive.append((false_discovery_control(cells) <= 0.05).mean())
    assert kstest(np.concatenate(p), "uniform").pvalue > 0.01
    assert np.mean(np.concatenate(p) <= 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(found) <= 0.15  # 25 runs at .05
    assert np.mean(naive) > 0.5


def test_conditions_shuffled_over_donors_leave_uniform_p():
    """One data set of eight donors, and the 35 ways to give half of them the drug."""
    auc, labels = cells_of_donors(np.random.default_rng(2), 100)
    p = []
    for drugged in itertools.islice(itertools.combinations(range(N_DONORS), 4), 35):
        level = np.where(np.isin(labels.sample, drugged), 0, 1)
        p.append(by_name(ranked(auc, labels_of(level, labels.sample))[0])["p"])
    for rate in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= rate) == pytest.approx(rate, rel=0.2)


def test_a_planted_effect_is_found():
    auc, labels = cells_of_donors(np.random.default_rng(3), 60, shift=0.15, donor_sd=0.03)
    table = ranked(auc, labels)[0]
    assert set(table["eregulon"][:10]) == {f"TF{i:03d}|act" for i in range(10)}
    assert (table["fdr"][:10] <= 0.05).all()
    covered = (table["ci_low"][:10] <= 0.15) & (table["ci_high"][:10] >= 0.15)
    assert covered.sum() >= 7
    pairs, labels = cells_of_donors(np.random.default_rng(3), 60, shift=0.05, paired=True, donor_sd=0.2)
    assert set(ranked(pairs, labels)[0]["eregulon"][:10]) == {f"TF{i:03d}|act" for i in range(10)}


def test_neither_the_order_of_cells_nor_of_eregulons_matters_nor_does_counting_cells_twice():
    rng = np.random.default_rng(4)
    auc, labels = cells_of_donors(rng, 30)
    expected = by_name(ranked(auc, labels)[0])
    numbers = expected.select_dtypes("number").columns
    mixed, twice = rng.permutation(auc.shape[0]), np.tile(np.arange(auc.shape[0]), 2)
    for order in (mixed, twice):
        found = by_name(ranked(auc[order], labels_of(labels.level[order], labels.sample[order]))[0])
        np.testing.assert_allclose(found[numbers], expected[numbers], rtol=1e-6)
    columns = rng.permutation(30)
    names = [f"TF{i:03d}|act" for i in columns]
    found, _ = rank_table(auc[:, columns], names, labels, ["drug"], "none", min_cells=10)
    np.testing.assert_allclose(by_name(found.astype({"eregulon": str}))[numbers], expected[numbers], rtol=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_signs_flip_when_the_sides_are_swapped(paired):
    auc, labels = cells_of_donors(np.random.default_rng(5), 20, paired=paired)
    one, other = by_name(ranked(auc, labels)[0]), by_name(ranked(auc, labels, ["none"], "drug")[0])
    for column in ("difference", "statistic"):
        np.testing.assert_allclose(one[column], -other[column])
    np.testing.assert_allclose(one["p"], other["p"])
    np.testing.assert_allclose(one["ci_low"], -other["ci_high"])
    np.testing.assert_allclose(one["auroc"], 1 - other["auroc"])


def test_against_the_rest_of_two_is_against_the_other():
    auc, labels = cells_of_donors(np.random.default_rng(6), 15)
    rest, named = by_name(ranked(auc, labels, reference="rest")[0]), by_name(ranked(auc, labels)[0])
    numbers = rest.select_dtypes("number").columns
    np.testing.assert_allclose(rest[numbers], named[numbers], rtol=1e-6)


def test_a_cell_type_is_compared_as_if_alone():
    rng = np.random.default_rng(7)
    auc, labels = cells_of_donors(rng, 15)
    within = rng.integers(0, 2, auc.shape[0])
    table, contrasts = ranked(auc, labels_of(labels.level, labels.sample, within))
    assert contrasts["within"].tolist() == ["A", "B"]
    for place, name in enumerate("AB"):
        inside = within == place
        alone = by_name(ranked(auc[inside], labels_of(labels.level[inside], labels.sample[inside]))[0])
        found = by_name(table[table["within"] == name])
        numbers = alone.select_dtypes("number").columns
        np.testing.assert_allclose(found[numbers], alone[numbers], rtol=1e-9)


def test_samples_with_few_cells_do_not_count():
    auc, labels = cells_of_donors(np.random.default_rng(8), 12)
    keep = (labels.sample != 0) | (np.cumsum(labels.sample == 0) <= 9)  # nine cells of donor 0
    labels = labels_of(labels.level[keep], labels.sample[keep])
    table, contrasts = ranked(auc[keep], labels)
    assert contrasts[["n_samples_group", "n_samples_left_out"]].iloc[0].tolist() == [3, 1]
    without = labels.sample != 0
    expected = ranked(auc[keep][without], labels_of(labels.level[without], labels.sample[without]))[0]
    np.testing.assert_allclose(by_name(table)["p"], by_name(expected)["p"])


def test_too_few_samples_and_no_samples_have_effect_sizes_only():
    auc, labels = cells_of_donors(np.random.default_rng(9), 12)
    inside = np.isin(labels.sample, [0, 1, 3])  # one donor of the drug, two of none
    table, contrasts = ranked(auc[inside], labels_of(labels.level[inside], labels.sample[inside]))
    assert table[["p", "fdr", "statistic", "ci_low"]].isna().all(axis=None)
    assert contrasts["reason"].tolist() == ["fewer than two samples on a side"]
    assert table["difference"].notna().all()
    assert table["difference"].abs().is_monotonic_decreasing
    bare = Labels(labels.level, labels.levels, np.zeros_like(labels.sample), (), labels.within, ("",))
    table, contrasts = ranked(auc, bare)
    assert contrasts[["design", "reason"]].iloc[0].tolist() == ["none", "no replicates"]
    assert table["p"].isna().all()
    expected = auc[labels.level == 0].mean(axis=0) - auc[labels.level == 1].mean(axis=0)
    np.testing.assert_allclose(by_name(table)["difference"], expected, rtol=1e-4)


def test_sums_and_ranks_come_in_blocks(monkeypatch):
    rng = np.random.default_rng(10)
    x, units = rng.random((101, 35), dtype=np.float32), rng.integers(0, 4, 101)
    whole = unit_sums(x, units, 5), *separation(x, units, 5)
    for name in ("BLOCK_CELLS", "BLOCK_EREGULONS"):
        monkeypatch.setattr(f"grnformer_sc.grn.contrasts.{name}", 7)
    for found, expected in zip((unit_sums(x, units, 5), *separation(x, units, 5)), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(whole[1][4]).all()  # no cells
