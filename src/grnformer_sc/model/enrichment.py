"""Attention on TFs against other genes, and against genes of equal degree or equal expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

N_MATCHES = 10
N_PERMUTATIONS = 999


@dataclass(frozen=True, slots=True)
class Enrichment:
    """Ratio of the mean attention on TFs to that on other genes, with a one-sided permutation p value."""

    rho: float
    p_value: float


def tf_enrichment(
    mass: Float[np.ndarray, " nodes"], is_tf: Bool[np.ndarray, " nodes"], rng: np.random.Generator
) -> Enrichment:
    """Compare TFs with all other nodes (the ratio of Qiu et al. 2025, confounded by degree); labels are permuted."""
    n_tfs = int(is_tf.sum())
    if n_tfs in {0, is_tf.size}:
        return Enrichment(np.nan, np.nan)
    observed = mass[is_tf].mean()
    picks = rng.random((N_PERMUTATIONS, mass.size)).argsort(axis=1)[:, :n_tfs]
    return _result(observed, mass[~is_tf].mean(), mass[picks].mean(axis=1))


def matched_enrichment(
    mass: Float[np.ndarray, " nodes"],
    is_tf: Bool[np.ndarray, " nodes"],
    covariate: Float[np.ndarray, " nodes"],
    rng: np.random.Generator,
) -> Enrichment:
    """Compare each TF with the other genes nearest to it in a covariate (degree, expression).

    The null swaps a TF with one of its matches, so what the covariate alone explains is in the null too.
    """
    if not is_tf.any() or is_tf.all():
        return Enrichment(np.nan, np.nan)
    tfs, matches = np.flatnonzero(is_tf), nearest_others(covariate, is_tf)
    observed = mass[tfs].mean()
    sets = np.concatenate([tfs[:, None], matches], axis=1)
    choice = rng.integers(sets.shape[1], size=(N_PERMUTATIONS, tfs.size))
    null = mass[sets[np.arange(tfs.size), choice]].mean(axis=1)
    return _result(observed, mass[matches].mean(), null)


def nearest_others(
    covariate: Float[np.ndarray, " nodes"], is_tf: Bool[np.ndarray, " nodes"]
) -> Int[np.ndarray, "tfs matches"]:
    """For each TF the non-TF nodes whose covariate is nearest (ties by position)."""
    others = np.flatnonzero(~is_tf)
    gap = np.abs(covariate[is_tf][:, None] - covariate[others][None, :])
    return others[np.argsort(gap, axis=1, kind="stable")[:, :N_MATCHES]]


def _result(observed: float, reference: float, null: np.ndarray) -> Enrichment:
    rho = float(observed / reference) if reference > 0 else float("nan")
    return Enrichment(rho, float((1 + (null >= observed * (1 - 1e-12)).sum()) / (1 + null.size)))
