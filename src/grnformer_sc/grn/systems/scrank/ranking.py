"""How far the loss of a gene shifts a network, and what the shift is worth: scores of cell types."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator, eigs

Action = Literal["antagonist", "agonist"]

COUPLING = 0.9  # of a gene with itself in the other network, in units of the mean sum of a row
ZERO = 1e-8
KEPT = 2  # coordinates of the common space
SMALL = 60  # rows up to which all eigenvalues are computed
LANCZOS = 40  # vectors


def perturbed(network: sp.csr_matrix, targets: Int[np.ndarray, " targets"], action: Action) -> sp.csr_matrix:
    """The network when the targets regulate nothing (antagonist), or as strongly as any gene what they activate."""
    out = sp.csr_matrix(network, dtype=np.float64, copy=True)
    row = np.repeat(np.arange(out.shape[0]), np.diff(out.indptr))
    of_target = np.isin(row, targets)
    if action == "antagonist":
        out.data[of_target] = 0
    else:
        out.data[of_target & (out.data > 0)] = 1
    out.eliminate_zeros()
    return out


def shifts(before: sp.csr_matrix, after: sp.csr_matrix) -> Float[np.ndarray, " genes"]:
    """Distance of every gene from itself when two networks are laid into one space (manifold alignment).

    The Laplacian of both networks, 1 added to all weights and every gene tied to itself, is no symmetric matrix, so its
    vectors may be complex. Sizes of complex differences are distances that no choice of phase changes; with real vectors
    they are the plain ones, and they pass into each other where two eigenvalues meet.
    """
    laplacian = _laplacian(before, after)
    size, n_genes = laplacian.shape[0], before.shape[0]
    if size <= SMALL:
        values, vectors = np.linalg.eig(laplacian @ np.eye(size))
    else:
        start = np.random.default_rng(0).normal(size=size)  # of an iteration whose end does not depend on it
        values, vectors = eigs(laplacian, k=KEPT + 2, which="SR", v0=start, ncv=LANCZOS, maxiter=100 * size)
    order = np.argsort(values.real)[: KEPT + 2]
    kept = order[values.real[order] > ZERO][:KEPT]
    place = vectors[:, kept] / np.linalg.norm(vectors[:, kept], axis=0)
    return np.sqrt((np.abs(place[:n_genes] - place[n_genes:]) ** 2).sum(axis=1))


def _laplacian(before: sp.csr_matrix, after: sp.csr_matrix) -> LinearOperator:
    """The Laplacian as a product: sparse networks, a constant 1 in every entry, and no matrix of genes by genes."""
    n = before.shape[0]
    coupling = COUPLING * (before.sum() + after.sum() + 2 * n**2) / (2 * n)
    degree = [np.asarray(part.sum(axis=0)).ravel() - part.diagonal() + n - 1 + coupling for part in (before, after)]

    def product(x: np.ndarray) -> np.ndarray:
        first, second = x.ravel()[:n], x.ravel()[n:]
        above = degree[0] * first - before @ first + before.diagonal() * first - first.sum() + first
        lower = degree[1] * second - after @ second + after.diagonal() * second - second.sum() + second
        return np.concatenate([above - coupling * second, lower - coupling * first])

    return LinearOperator((2 * n, 2 * n), matvec=product, dtype=np.float64)


def score(network: sp.csr_matrix, shift: Float[np.ndarray, " genes"], target: int, n_hops: int) -> float:
    """What the loss of a target shifts.

    Over one hop the sum of all shifts. Over two, with a_g the size of the sum of the weights out of g per link: the target
    counts shift x a, and every gene g that it regulates shift x (size of the weight + a). Over three the targets of
    these genes count in the same way.
    """
    if n_hops == 1:
        return float(shift.sum())
    n_links = np.diff(network.indptr)
    out = np.abs(np.asarray(network.sum(axis=1)).ravel()) / np.maximum(n_links, 1)

    def reached(source: int) -> float:
        at = slice(network.indptr[source], network.indptr[source + 1])
        gene = network.indices[at]
        return float((shift[gene] * (np.abs(network.data[at]) + out[gene])).sum())

    total = shift[target] * out[target] + reached(target)
    if n_hops > 2:
        own = network.indices[network.indptr[target] : network.indptr[target + 1]]
        total += sum(reached(gene) for gene in own.tolist())
    return float(total)


def target_scores(
    network: sp.csr_matrix, targets: Int[np.ndarray, " targets"], action: Action, n_hops: int
) -> tuple[float, Float[np.ndarray, " genes"]]:
    """Score of some targets that are hit together (the sum of theirs), and the shift of every gene."""
    after = perturbed(network, targets, action)
    if (after != network).nnz == 0:  # nothing moves
        return 0.0, np.zeros(network.shape[0])
    shift = shifts(network, after)
    return sum(score(network, shift, int(target), n_hops) for target in targets), shift
