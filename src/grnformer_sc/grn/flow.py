"""Where cells would move in an embedding when their expression changes, and whether that is forward in pseudotime."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

BLOCK = 4_000_000  # differences held at a time
SMALLEST = 1e-12  # length of a vector that has a direction


def embedding_neighbours(
    embedding: Float[np.ndarray, "cells dims"], n_neighbors: int, *, n_jobs: int
) -> Int[np.ndarray, "cells neighbours"]:
    """Nearest other cells of every cell."""
    k = min(n_neighbors, len(embedding) - 1)
    return np.asarray(NearestNeighbors(n_neighbors=k, n_jobs=n_jobs).fit(embedding).kneighbors(return_distance=False))


def flow(
    shift: Float[np.ndarray, "cells comps"],
    scores: Float[np.ndarray, "cells comps"],
    embedding: Float[np.ndarray, "cells dims"],
    neighbours: Int[np.ndarray, "cells neighbours"],
    temperature: float,
) -> Float[np.ndarray, "cells dims"]:
    """Mean direction to the neighbours, weighed by how well the way to them agrees with the change.

    With z the principal components of a cell and s the change in them, cos_ij is the cosine of s_i and z_j - z_i, and
    p_ij = softmax_j(cos_ij / temperature) over the k neighbours. With u_ij the unit vector from i to j in the embedding,
    the flow is sum_j (p_ij - 1/k) u_ij: without a change, or in a symmetric neighbourhood, it is 0.
    """
    n_cells, k = neighbours.shape
    out = np.zeros((n_cells, embedding.shape[1]))
    step = max(1, BLOCK // (k * max(scores.shape[1], 1)))
    for first in range(0, n_cells, step):
        own = slice(first, first + step)
        way = scores[neighbours[own]] - scores[own][:, None]
        cosine = np.einsum("ikc,ic->ik", way, shift[own])
        cosine /= np.maximum(np.linalg.norm(way, axis=2) * np.linalg.norm(shift[own], axis=1)[:, None], SMALLEST)
        weight = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / temperature)
        weight = weight / weight.sum(axis=1, keepdims=True) - 1 / k
        out[own] = np.einsum("ik,ikd->id", weight, _unit(embedding[neighbours[own]] - embedding[own][:, None]))
    out[np.linalg.norm(shift, axis=1) <= SMALLEST] = 0
    return out


def gradient(
    time: Float[np.ndarray, " cells"],
    embedding: Float[np.ndarray, "cells dims"],
    neighbours: Int[np.ndarray, "cells neighbours"],
) -> Float[np.ndarray, "cells dims"]:
    """Unit vector along which pseudotime rises among the neighbours of a cell (least squares); 0 where it is level."""
    away = embedding[neighbours] - embedding[:, None]
    later = time[neighbours] - time[:, None]
    gram = np.einsum("ikd,ike->ide", away, away)
    ridge = SMALLEST + 1e-9 * np.trace(gram, axis1=1, axis2=2)
    gram += ridge[:, None, None] * np.eye(embedding.shape[1])
    slope = np.linalg.solve(gram, np.einsum("ikd,ik->id", away, later)[:, :, None])[:, :, 0]
    return _unit(slope)


def _unit(vectors: Float[np.ndarray, "*any dims"]) -> Float[np.ndarray, "*any dims"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > SMALLEST, vectors / np.maximum(length, SMALLEST), 0)
