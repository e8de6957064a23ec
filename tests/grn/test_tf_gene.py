"""TF -> gene scores against explicit fits and planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from grnformer_sc.grn.boosting import BoostSettings
from grnformer_sc.grn.tf_gene import PENALTY, ridge_z, standardise, tf_gene_links

FAST = BoostSettings(n_trees=300, rate=0.05, max_features=0.3, subsample=0.8)


@pytest.fixture(scope="module")
def expression() -> np.ndarray:
    """Genes 0-5 are TFs, gene 6 follows TF 0, gene 7 falls with TF 1, the others are noise."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 1, (400, 20))
    x[:, 6] = 2 * x[:, 0] + rng.normal(0, 0.5, 400)
    x[:, 7] = 5 - x[:, 1] + rng.normal(0, 0.5, 400)
    return x.astype(np.float32)


def one_by_one(x: np.ndarray, tfs: np.ndarray, gene: int) -> np.ndarray:
    """Explicit ridge fit of one gene without itself, with the residual variance of the closed form."""
    keep = np.array([t for t in tfs if t != gene])
    xt, n = x[:, keep], x.shape[0]
    inverse = np.linalg.inv(xt.T @ xt / n + PENALTY * np.eye(keep.size))
    covariance = xt.T @ x[:, gene] / n
    b = inverse @ covariance
    variance = (x[:, gene] ** 2).mean() - b @ covariance + (PENALTY if gene in tfs else 0.0)
    out = np.zeros(tfs.size)
    out[np.isin(tfs, keep)] = np.abs(b) / np.sqrt(np.diag(inverse) * max(variance, 1e-3))
    return out


def test_ridge_equals_one_explicit_fit_per_gene(expression):
    x = standardise(expression)
    tfs = np.array([0, 1, 2, 3, 4, 5])
    z = ridge_z(x, tfs)
    for gene in range(20):
        np.testing.assert_allclose(z[:, gene], one_by_one(x, tfs, gene), rtol=1e-4, atol=1e-5)


def test_planted_regulators_come_first_with_their_sign(expression):
    links = tf_gene_links(expression, np.arange(6), np.arange(1, 21, dtype=np.uint64), settings=FAST, n_jobs=2)
    assert links.importance[:, 6].argmax() == 0
    assert links.importance[:, 7].argmax() == 1
    assert links.rho[0, 6] > 0.5
    assert links.rho[1, 7] < -0.5


def test_a_tf_never_scores_itself_and_scores_are_shares(expression):
    links = tf_gene_links(expression, np.arange(6), np.arange(1, 21, dtype=np.uint64), settings=FAST, n_jobs=1)
    own = np.arange(6)
    for score in (links.importance, links.ridge, links.boosting, links.rho):
        assert (score[own, own] == 0).all()
    assert links.importance.min() >= 0
    assert links.importance.max() <= 1


def test_screening_keeps_the_best_tfs(expression):
    seeds = np.arange(1, 21, dtype=np.uint64)
    few = tf_gene_links(expression, np.arange(6), seeds, settings=FAST, n_jobs=1, screened=2)
    assert ((few.boosting > 0).sum(axis=0) <= 2).all()
    assert few.importance[:, 6].argmax() == 0


def test_constant_genes_have_no_regulators():
    x = np.ones((50, 4), dtype=np.float32)
    x[:, 0] = np.arange(50)
    links = tf_gene_links(x, np.array([0, 1]), np.arange(1, 5, dtype=np.uint64), settings=FAST, n_jobs=1)
    assert (links.rho[:, 2:] == 0).all()
    assert (links.importance[:, 2:] == 0).all()
