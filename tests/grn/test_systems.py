"""Scores of other methods equal their definitions, and depend on neither threads nor the order of genes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from grnformer_sc.grn.links import Pools, Work
from grnformer_sc.grn.settings import InferSettings
from grnformer_sc.grn.systems import SCORERS
from grnformer_sc.grn.systems import trees as systems_trees
from grnformer_sc.grn.systems.linear import shrinkage, shrunk_partial_correlations
from grnformer_sc.grn.tf_gene import standardise

N_CELLS, N_GENES, N_TFS = 300, 14, 8


def made(seed: int = 0) -> Pools:
    """Genes of which the last three follow TFs 0 to 4; values of two digits, so that bins keep them apart."""
    x = np.round(np.abs(np.random.default_rng(seed).normal(size=(N_CELLS, N_GENES))), 2)
    x[:, 11] += 2 * x[:, 0] * x[:, 1]
    x[:, 12] += x[:, 2] - np.minimum(x[:, 3], 1)
    x[:, 13] += (x[:, 4] > 1) * 2
    genes = pd.Index([f"g{i:02}" for i in range(N_GENES)])
    return Pools(expression=x.astype(np.float32), codes=np.zeros(N_CELLS, int), genes=genes, tfs=np.arange(N_TFS))


def work(n_jobs: int = 1) -> Work:
    return Work(settings=InferSettings(), root=5, n_jobs=n_jobs)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: Any) -> None:
    monkeypatch.setattr(systems_trees, "N_TREES", 200)


@pytest.mark.parametrize("name", SCORERS)
class TestEveryScore:
    def test_pairs_are_scored_and_none_with_itself(self, name: str) -> None:
        score = SCORERS[name](made(), work())
        assert score.shape == (N_TFS, N_GENES)
        assert (score >= 0).all()
        assert (score[np.arange(N_TFS), np.arange(N_TFS)] == 0).all()

    def test_true_regulators_come_first(self, name: str) -> None:
        score = SCORERS[name](made(), work())
        assert set(np.argsort(-score[:, 11])[:2]) == {0, 1}
        assert np.argmax(score[:, 12]) == 2
        assert np.argmax(score[:, 13]) == 4

    def test_threads_and_blocks_play_no_part(self, name: str, monkeypatch: Any) -> None:
        first = SCORERS[name](made(), work())
        for limit in ("BOOST_PAIRS", "FOREST_PAIRS"):
            monkeypatch.setattr(systems_trees, limit, 10)
        np.testing.assert_array_equal(first, SCORERS[name](made(), work(n_jobs=2)))

    def test_targets_can_come_in_any_order(self, name: str) -> None:
        pools = made()
        order = np.r_[np.arange(N_TFS), np.arange(N_TFS, N_GENES)[::-1]]
        other = Pools(pools.expression[:, order], pools.codes, pools.genes[order], pools.tfs)
        expected = SCORERS[name](pools, work())[:, order]
        np.testing.assert_allclose(SCORERS[name](other, work()), expected, rtol=1e-5, atol=1e-6)


def test_correlation_is_numpys() -> None:
    x = made().expression
    expected = np.abs(np.corrcoef(x.T)[:N_TFS])
    expected[np.arange(N_TFS), np.arange(N_TFS)] = 0
    np.testing.assert_allclose(SCORERS["correlation"](made(), work()), expected, atol=1e-6)


def test_partial_correlations_are_those_of_the_inverse_of_tfs_and_gene() -> None:
    z, tfs, intensity = standardise(made().expression), np.arange(N_TFS), 0.2
    found = shrunk_partial_correlations(z, tfs, intensity)
    for gene in range(N_GENES):
        both = np.union1d(tfs, [gene])
        r = (1 - intensity) * np.corrcoef(z[:, both].T)
        np.fill_diagonal(r, 1)
        p = np.linalg.inv(r)
        at = int(np.searchsorted(both, gene))
        expected = -p[at] / np.sqrt(p[at, at] * np.diag(p))
        for tf in tfs[tfs != gene]:
            assert found[tf, gene] == pytest.approx(expected[np.searchsorted(both, tf)], abs=1e-10)


def test_the_shrinkage_is_the_published_sum_over_pairs() -> None:
    z, tfs = standardise(made().expression), np.arange(N_TFS)
    n, variance, square = len(z), 0.0, 0.0
    for tf in tfs:
        for gene in range(N_GENES):
            if gene != tf:
                w = z[:, tf] * z[:, gene]
                variance += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
                square += w.mean() ** 2
    assert shrinkage(z, tfs) == pytest.approx(variance / square, rel=1e-10)
    assert shrinkage(np.random.default_rng(0).normal(size=(5, N_GENES)), tfs) <= 1


def test_a_forest_explains_what_scikit_learns_does() -> None:
    pools = made()
    found = SCORERS["genie3"](pools, work())
    for gene in (11, 12, 13, 10):
        y = pools.expression[:, gene].astype(float)
        forest = RandomForestRegressor(200, max_features="sqrt", random_state=0)
        forest.fit(pools.expression[:, :N_TFS], (y - y.mean()) / y.std())
        trees = [tree.tree_.compute_feature_importances(normalize=False) for tree in forest.estimators_]
        expected = np.mean(trees, axis=0)
        # both are means over 200 random trees, whose importances have this standard error
        error = np.sqrt(2) * np.std(trees, axis=0) / np.sqrt(200)
        assert (np.abs(found[:, gene] - expected) < 5 * error + 0.005).all()
    assert np.allclose(found[:, 11:].sum(axis=0), 0.95, atol=0.1)  # trees are grown out on about 63 % of the cells


def test_boosting_ranks_like_scikit_learns_with_the_same_settings() -> None:
    pools = made()
    found = SCORERS["grnboost2"](pools, work())
    for gene in (11, 12, 13):
        model = GradientBoostingRegressor(
            n_estimators=400, learning_rate=0.01, max_features=0.1, subsample=0.9, random_state=0
        ).fit(pools.expression[:, :N_TFS], pools.expression[:, gene])
        assert np.corrcoef(found[:, gene], model.feature_importances_)[0, 1] > 0.95


def test_a_constant_gene_has_no_score() -> None:
    pools = made()
    pools.expression[:, 9] = 1.0
    for name, score in SCORERS.items():
        assert (score(pools, work())[:, 9] == 0).all(), name
