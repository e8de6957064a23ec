"""TF -> gene scores against explicit fits and planted truth."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs
from grnformer_sc._core.rng import seeds_for
from grnformer_sc.grn.boosting import TF_GENE, BoostSettings
from grnformer_sc.grn.embedding import log_normalise
from grnformer_sc.grn.tf_gene import PENALTY, combine_parts, ridge_z, standardise, tf_gene_links

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
    for score in (links.importance, links.vote, links.ridge, links.boosting, links.rho):
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


def parts(seed: int, n_tfs: int = 8, n_genes: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up ridge z, boosting shares (some 0) and correlations."""
    rng = np.random.default_rng(seed)
    ridge = rng.gamma(1, 2, (n_tfs, n_genes)).astype(np.float32)
    boosting = np.where(rng.random((n_tfs, n_genes)) < 0.5, rng.random((n_tfs, n_genes)), 0)
    boosting = (boosting / np.maximum(boosting.sum(axis=0), 1e-6)).astype(np.float32)
    return ridge, boosting, rng.uniform(-1, 1, (n_tfs, n_genes)).astype(np.float32)


def vote(ridge: np.ndarray, boosting: np.ndarray, rho: np.ndarray) -> np.ndarray:
    return combine_parts(ridge=ridge, boosting=boosting, rho=rho).vote


def test_votes_on_the_scale_of_other_links_fall_with_the_parts():
    """Permuted cells give small correlations; on their own scale these would sum to 1 per gene like real ones."""
    ridge, boosting, rho = parts(3)
    real = combine_parts(ridge=ridge, boosting=boosting, rho=rho)
    same = combine_parts(ridge=ridge, boosting=boosting, rho=rho, among=real)
    np.testing.assert_array_equal(same.vote, real.vote)
    np.testing.assert_allclose(same.importance, real.importance)
    weak = combine_parts(ridge=ridge, boosting=0 * boosting, rho=rho / 2, among=real)
    square = combine_parts(ridge=ridge, boosting=0 * boosting, rho=rho, among=real)
    np.testing.assert_allclose(weak.vote, square.vote / 4, rtol=1e-5)
    assert (weak.importance == 0).all()


def test_vote_equals_its_formula():
    ridge, boosting, rho = parts(0)
    expected = np.zeros(ridge.shape)
    for gene in range(ridge.shape[1]):
        first = [float(b) * float(z) ** 0.5 for b, z in zip(boosting[:, gene], ridge[:, gene], strict=True)]
        second = [float(r) ** 2 for r in rho[:, gene]]
        expected[:, gene] = [a / (sum(first) or 1) + b / sum(second) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(vote(ridge, boosting, rho), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_vote_knows_neither_signs_nor_levels_of_genes_nor_orders(seed):
    ridge, boosting, rho = parts(seed)
    score = vote(ridge, boosting, rho)
    level = np.random.default_rng(seed).uniform(0.5, 2, ridge.shape[1]).astype(np.float32)
    np.testing.assert_allclose(vote(ridge * level**2, boosting, -rho * level / 2), score, rtol=1e-5)
    tf, gene = np.random.default_rng(seed).permutation(8), np.random.default_rng(seed).permutation(30)
    shuffled = vote(*(part[tf][:, gene] for part in (ridge, boosting, rho)))
    np.testing.assert_allclose(shuffled, score[tf][:, gene], rtol=1e-5)


def test_importance_leaves_out_what_boosting_did_not_use(expression):
    links = tf_gene_links(expression, np.arange(6), np.arange(1, 21, dtype=np.uint64), settings=FAST, n_jobs=1)
    score, used = np.sqrt(links.ridge) * links.boosting, links.boosting > 0
    assert ((links.importance > 0) == used).all()
    order = np.argsort(score[used])
    assert (np.diff(links.importance[used][order]) >= 0).all()


def test_columns_behind_the_targets_lose_their_boosting_and_change_nothing_else(expression):
    seeds = np.arange(1, 21, dtype=np.uint64)
    whole, part = (
        tf_gene_links(expression, np.arange(6), seeds, settings=FAST, n_jobs=1, n_targets=n) for n in (None, 12)
    )
    np.testing.assert_array_equal(part.boosting[:, :12], whole.boosting[:, :12])
    np.testing.assert_array_equal(part.ridge, whole.ridge)
    assert (part.boosting[:, 12:] == 0).all()
    assert (whole.boosting[:, 12:] > 0).any()


def test_any_number_of_jobs_gives_the_same_bits(expression):
    seeds = np.arange(1, 21, dtype=np.uint64)
    one, two = (tf_gene_links(expression, np.arange(6), seeds, settings=FAST, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.importance, two.importance)


def recovery(n_cells: int, seed: int) -> list[float]:
    """Average precision of importance, product of its parts, boosting, ridge and correlation on planted links."""
    mdata = grs.datasets.simulate_multiome(n_cells, n_genes=250, n_tfs=25, n_types=4, rng=seed)
    rna, truth = mdata["rna"], mdata["rna"].uns["truth"]
    x, tfs = log_normalise(rna.X.tocsr()).toarray(), np.flatnonzero(rna.var["is_tf"])
    links = tf_gene_links(x, tfs, seeds_for(0, "tf_gene", rna.var_names), settings=TF_GENE, n_jobs=1)
    known = np.zeros(links.rho.shape, dtype=bool)
    known[np.searchsorted(tfs, rna.var_names.get_indexer(truth["tf"])), rna.var_names.get_indexer(truth["gene"])] = True
    pairs = tfs[:, None] != np.arange(rna.n_vars)
    scores = links.vote, np.sqrt(links.ridge) * links.boosting, links.boosting, links.ridge, np.abs(links.rho)
    return [grs.metrics.average_precision(known[pairs], score[pairs].astype(float)) for score in scores]


@pytest.mark.parametrize("n_cells", [300, 1000])
def test_together_the_judges_recover_more_planted_links(n_cells):
    together, *others = np.mean([recovery(n_cells, seed) for seed in (21, 22, 23)], axis=0)
    assert together > max(others) + 0.004
