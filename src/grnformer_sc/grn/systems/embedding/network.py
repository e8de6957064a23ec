"""Cosines of an embedding."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64


def cosines(
    embedding: Float[np.ndarray, "genes width"], tfs: Int64[np.ndarray, " tfs"]
) -> Float[np.ndarray, "genes tfs"]:
    """Cosine of every gene and every regulator; NaN where one has no embedding (NaN) or no direction (0)."""
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    unit = np.divide(embedding, length, out=np.full_like(embedding, np.nan), where=length > 0)
    return unit @ unit[tfs].T
