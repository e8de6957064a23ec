"""What follows from the links of TFs: sizes in units of standard deviations, and effects along all paths."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ...._core.checks import fail

OWN = (0.2, 1.8)  # what a TF may do to itself along all loops
SHRINK = 1.1
MOST_SHRINKS = 1000


def normalized(
    weight: Float[np.ndarray, "tfs genes"], sd: Float[np.ndarray, " genes"], tfs: Int[np.ndarray, " tfs"]
) -> Float[np.ndarray, "tfs genes"]:
    """Change of a gene in its standard deviations per standard deviation of the TF; `tfs` are places among the genes."""
    return weight * sd[tfs, None] / sd


def total_effects(
    weight: Float[np.ndarray, "tfs genes"], share: Float[np.ndarray, " genes"], tfs: Int[np.ndarray, " tfs"]
) -> Float[np.ndarray, "tfs genes"]:
    """Change of every gene along all paths of links, per change of the TF; 0 of a TF on itself.

    mRNA is counted by shares, so one gene rises at the cost of all: with the shares p of all genes (summing to 1) and the
    links V, a TF (unit vector e) moves the steady state by (e - p)' (I - V)^-1. Links are divided by 1.1 until every TF
    moves itself by .2 to 1.8, as it does where loops are weak.
    """
    place = np.arange(tfs.size)
    links = np.zeros((share.size, share.size))
    links[tfs] = weight
    push = -np.tile(share, (tfs.size, 1))
    push[place, tfs] += 1
    for _ in range(MOST_SHRINKS):
        moved = np.linalg.solve((np.eye(share.size) - links).T, push.T).T
        own = moved[place, tfs]
        if (own >= OWN[0]).all() and (own <= OWN[1]).all():
            out = moved / own[:, None]
            out[place, tfs] = 0
            return out
        links /= SHRINK
    raise fail(
        ValueError, f"a TF moves itself by {OWN[0]} to {OWN[1]} when links are weak.",
        f"{own.min():.3g} to {own.max():.3g}.", "check that no gene has a share of almost 1.",
    )  # fmt: skip
