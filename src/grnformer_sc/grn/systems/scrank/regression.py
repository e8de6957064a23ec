"""Principal-component regression of every gene on all others, from one decomposition instead of one per gene."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.linalg import eigh

from ...._core.checks import fail

BLOCK_GENES = 256  # whose roots are sought at once
HALVINGS = 64
DECADES = 46.0  # natural logarithm of the range in which a root is sought, 20 decades
SMALLEST = 1e-12  # eigenvalues below this share of the largest are 0


def pc_network(x: sp.csr_matrix, n_components: int, quantile: float) -> sp.csr_matrix:
    """Coefficients of every gene (row) on all others, through their first principal components.

    Genes are standardised. With V the first right singular vectors of all genes but g, and x the values of g, the row of
    g is V (V' X' x / s^2), s being the lengths of the columns of X V. Divided by the largest size; sizes below the
    quantile of all, the diagonal counted, are 0.
    """
    moving, spectrum, vectors = _spectrum(x)
    if spectrum.size <= n_components:
        raise fail(
            ValueError, f"a regression on {n_components} components needs more than as many cells and genes that vary.",
            f"{spectrum.size} components in a sample of {x.shape[0]} cells.", "add cells or genes, or ask for fewer.",
        )  # fmt: skip
    coefficients = _coefficients(spectrum, vectors, n_components)
    size = np.abs(coefficients)
    coefficients[size < np.quantile(size, quantile)] = 0
    found = sp.coo_matrix(coefficients / size.max())
    place = np.flatnonzero(moving)
    shape = (x.shape[1], x.shape[1])
    return sp.csr_matrix((found.data, (place[found.row], place[found.col])), shape)


def _spectrum(x: sp.csr_matrix) -> tuple[np.ndarray, Float[np.ndarray, " parts"], Float[np.ndarray, "genes parts"]]:
    """Genes that vary, and eigenvalues (descending) and vectors of the products of their standardised values."""
    n, x = x.shape[0], x.astype(np.float64)
    mean = np.asarray(x.mean(axis=0)).ravel()
    square = np.asarray(x.power(2).sum(axis=0)).ravel()
    variance = np.maximum(square - n * mean**2, 0) / max(n - 1, 1)
    moving = variance > SMALLEST * np.maximum(mean**2, 1)
    values, mean, spread = x[:, moving], mean[moving], np.sqrt(variance[moving])
    if values.shape[1] <= n:
        product = (values.T @ values).toarray() - n * np.outer(mean, mean)
        spectrum, vectors = eigh(product / np.outer(spread, spread), check_finite=False)
        keep = spectrum > SMALLEST * spectrum[-1]
        return moving, spectrum[keep][::-1], vectors[:, keep][:, ::-1]
    standard = (values.toarray() - mean) / spread
    spectrum, left = eigh(standard @ standard.T, check_finite=False)
    keep = spectrum > SMALLEST * spectrum[-1]
    spectrum, left = spectrum[keep][::-1], left[:, keep][:, ::-1]
    return moving, spectrum, standard.T @ left / np.sqrt(spectrum)


def _coefficients(
    spectrum: Float[np.ndarray, " parts"], vectors: Float[np.ndarray, "genes parts"], n_components: int
) -> Float[np.ndarray, "genes genes"]:
    """Rows of all genes.

    Let X X' = Q L Q' over all genes, and z = Q' x for the gene g. Without g the products are Q (L - z z') Q', whose
    eigenvalues m solve sum z_i^2 / (l_i - m) = 1, one below each l_j, with the vectors u_i = z_i / (l_i - m). The row of
    g is X' Q sum_j u_j (u_j' z) / (m_j u_j' u_j), and u_j' z = 1.
    """
    z = vectors * np.sqrt(spectrum)
    weight = np.zeros_like(z)
    for first in range(0, len(z), BLOCK_GENES):
        part = z[first : first + BLOCK_GENES]
        for j in range(n_components):
            below = spectrum - spectrum[j]
            fall = _falls(part**2, below, spectrum[j] - spectrum[j + 1])[:, None]
            vector = fall * part / (below + fall)  # times the fall, which may be tiny
            length = (vector**2).sum(axis=1, keepdims=True)
            root = spectrum[j] - fall
            weight[first : first + BLOCK_GENES] += fall * vector / np.maximum(length * root, np.finfo(float).tiny)
    out = np.asarray((weight * np.sqrt(spectrum)) @ vectors.T)
    np.fill_diagonal(out, 0)
    return out


def _falls(
    square: Float[np.ndarray, "genes parts"], below: Float[np.ndarray, " parts"], gap: float
) -> Float[np.ndarray, " genes"]:
    """How far every gene's eigenvalue lies below that of all genes: the root of sum z^2 / (below + fall) = 1, bisected."""
    high = np.full(len(square), np.log(gap))
    low = high - DECADES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = (square / (below + np.exp(middle)[:, None])).sum(axis=1) > 1
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(np.exp((low + high) / 2))
