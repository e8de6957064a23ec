"""Embeddings equal dense textbook versions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA

from grnformer_sc.grn.embedding import SCALE, log_normalise, lsi_scores, pca_scores


@pytest.fixture(scope="module")
def counts() -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(0).poisson(0.4, (80, 50)), dtype=np.float32)


def dense_log(counts: sp.csr_matrix) -> np.ndarray:
    x = counts.toarray().astype(np.float64)
    return np.log1p(x / x.sum(axis=1, keepdims=True) * SCALE)


def test_log_normalise_equals_the_dense_formula(counts):
    np.testing.assert_allclose(log_normalise(counts).toarray(), dense_log(counts), rtol=1e-5)


def test_log_normalise_takes_a_given_size_and_keeps_empty_rows(counts):
    size = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel() * 2
    doubled = sp.csr_matrix(counts * 2)
    np.testing.assert_allclose(log_normalise(doubled, size=size).toarray(), dense_log(counts), rtol=1e-5)
    assert log_normalise(sp.csr_matrix((2, 3), dtype=np.float32)).nnz == 0


def test_scores_equal_dense_principal_components(counts):
    scores, loadings, mean = pca_scores(counts, n_comps=5)
    expected = PCA(5, svd_solver="full").fit_transform(dense_log(counts))
    np.testing.assert_allclose(np.abs(scores), np.abs(expected), atol=1e-3)  # close components mix in float32
    np.testing.assert_allclose((dense_log(counts) - mean) @ loadings.T, scores, atol=1e-4)


def test_the_largest_loading_is_positive_so_signs_are_fixed(counts):
    _, loadings, _ = pca_scores(counts, n_comps=5)
    assert (loadings[np.arange(5), np.abs(loadings).argmax(axis=1)] > 0).all()


def test_lsi_rows_have_unit_length_and_do_not_follow_depth(counts):
    deep = sp.vstack([counts, counts * 3]).tocsr()
    scores = lsi_scores(deep, n_comps=4)
    np.testing.assert_allclose(np.linalg.norm(scores, axis=1), 1, rtol=1e-5)
    assert (scores[:80] * scores[80:]).sum(axis=1).mean() > 0.9
