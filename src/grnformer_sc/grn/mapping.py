"""Networks of new cells from their nearest reference cells: bits by vote, the network of the type where these are far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float64, Int8, Int64

from .._core.checks import fail, need_between
from .neighbours import bit_shares, group_votes, nearest

ORIGINS = ("neighbour", "type", "none")  # where the bits of a cell come from, by code
SPACING_CELLS = 10_000  # reference cells from which the distance cut is taken, where there are more
UNANIMOUS = 0.9  # share of the votes from which they count as one opinion
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRules:
    """When neighbours are believed.

    Attributes
    ----------
    k
        Neighbours that vote.
    cut
        Quantile of the reference's own distances beyond which a cell is far; None: none is.
    min_agreement
        Share of the neighbours that must be of one group for a far cell to get the network of that group.
    """

    k: int = 15
    cut: float | None = 0.99
    min_agreement: float = 0.5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise fail(ValueError, "k must be at least 1.", f"{self.k}.", "give k=15, or k=1 for the nearest cell alone.")
        need_between(1.0 if self.cut is None else self.cut, 0, 1, name="cut")
        need_between(self.min_agreement, 0, 1, name="min_agreement")


@dataclass(frozen=True, slots=True)
class Mapped:
    """What new cells got.

    Attributes
    ----------
    codes
        Group (-1: none).
    bits
        eRegulons that are on (CSR bool).
    origin
        Where the bits come from, as numbers of `ORIGINS`.
    agreement
        Share of the neighbours that are of the cell's group (without one: of the most frequent group).
    distance
        Mean distance to the neighbours over the distance cut.
    unanimity
        Share of the eRegulons that the group keeps on which at least 90 % of its neighbours agree.
    """

    codes: Int64[np.ndarray, " cells"]
    bits: sp.csr_matrix
    origin: Int8[np.ndarray, " cells"]
    agreement: Float64[np.ndarray, " cells"]
    distance: Float64[np.ndarray, " cells"]
    unanimity: Float64[np.ndarray, " cells"]

    @classmethod
    def stack(cls, parts: list[Mapped]) -> Mapped:
        """Put blocks of cells together."""
        codes, origin, agreement, distance, unanimity = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("codes", "origin", "agreement", "distance", "unanimity")
        )
        return cls(codes, sp.vstack([part.bits for part in parts], "csr"), origin, agreement, distance, unanimity)


@dataclass(frozen=True, slots=True)
class Atlas:
    """Reference cells in an embedding, with their bits and groups, and how far apart they are.

    Attributes
    ----------
    scores
        Reference cells in the embedding.
    bits
        Their bits (CSR bool).
    codes
        Their groups.
    kept
        Which eRegulon a group keeps.
    rules
        When neighbours are believed.
    spacing
        The distance cut: a quantile of the mean distances of reference cells to their nearest others.
    """

    scores: Float[np.ndarray, "reference comps"]
    bits: sp.csr_matrix
    codes: Int64[np.ndarray, " reference"]
    kept: Bool[np.ndarray, "groups eregulons"]
    rules: MapRules
    spacing: float

    @classmethod
    def fit(
        cls,
        scores: Float[np.ndarray, "reference comps"],
        bits: sp.csr_matrix,
        codes: Int64[np.ndarray, " reference"],
        kept: Bool[np.ndarray, "groups eregulons"],
        rules: MapRules,
    ) -> Self:
        """Measure how far apart the reference cells are; of many, every n-th."""
        rows = np.arange(0, scores.shape[0], -(-scores.shape[0] // SPACING_CELLS))
        distance = nearest(scores[rows], scores, rules.k, itself=rows)[1].mean(axis=1)
        spacing = float(np.quantile(distance, 1.0 if rules.cut is None else rules.cut))
        return cls(scores, bits, codes, kept, rules, spacing)

    def map(self, scores: Float[np.ndarray, "cells comps"], known: Int64[np.ndarray, " cells"]) -> Mapped:
        """Map cells; `known` are groups that are known beforehand (-1: not known)."""
        neighbours, distances = nearest(scores, self.scores, self.rules.k)
        distance = distances.mean(axis=1)
        votes = group_votes(neighbours, self.codes, self.kept.shape[0])
        codes = np.where(known == UNKNOWN, votes.argmax(axis=1), known)
        agreement = votes[np.arange(codes.size), codes] / neighbours.shape[1]
        shares = bit_shares(neighbours, self.bits, self.codes[neighbours] == codes[:, None])
        kept = self.kept[codes]
        near = (distance <= self.spacing) | (self.rules.cut is None)
        by_vote = near & (agreement > 0)
        typed = (known != UNKNOWN) | (agreement >= self.rules.min_agreement)
        origin = np.select([by_vote, typed], [0, 1], 2).astype(np.int8)
        on = np.where((origin == 0)[:, None], shares > 0.5, (origin == 1)[:, None]) & kept
        sure = (np.abs(shares - 0.5) >= UNANIMOUS - 0.5) & kept
        n_kept = kept.sum(axis=1)
        return Mapped(
            codes=np.where(origin == 2, UNKNOWN, codes),
            bits=sp.csr_matrix(on),
            origin=origin,
            agreement=agreement,
            distance=distance / max(self.spacing, np.finfo(np.float32).tiny),
            unanimity=np.divide(sure.sum(axis=1), n_kept, out=np.ones(codes.size), where=n_kept > 0),
        )
