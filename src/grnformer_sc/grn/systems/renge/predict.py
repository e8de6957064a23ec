"""What RENGE foretells of a knock-out, from the model that is stored with its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from .model import Model, changes


@dataclass(frozen=True, slots=True)
class Predictor:
    """A fitted model with the names of its genes, its times, and the expression that each gene has to lose."""

    genes: pd.Index
    times: Float[np.ndarray, " times"]
    model: Model
    n_hops: int
    baseline: Float[np.ndarray, " genes"]

    def to_uns(self) -> dict[str, Any]:
        """Arrays and numbers that every AnnData format can hold; `effect` has a row per regulator."""
        return {
            "genes": self.genes.to_numpy(dtype=object), "times": self.times, "effect": self.model.effect.T.copy(),
            "level": self.model.level, "alpha": self.model.alpha, "beta": self.model.beta, "gamma": self.model.gamma,
            "n_hops": self.n_hops, "baseline": self.baseline,
        }  # fmt: skip

    @classmethod
    def from_uns(cls, stored: Mapping[str, Any]) -> Predictor:
        """Read what `to_uns` wrote, from any format."""
        effect = np.asarray(stored["effect"]).T.copy()
        level, alpha = np.asarray(stored["level"]), np.asarray(stored["alpha"])
        model = Model(effect, level, alpha, float(stored["beta"]), float(stored["gamma"]))
        times, baseline = np.asarray(stored["times"]), np.asarray(stored["baseline"])
        return cls(pd.Index(stored["genes"]).astype(str), times, model, int(stored["n_hops"]), baseline)

    def change(
        self, gene: str, n_hops: int | None = None, times: Float[np.ndarray, " asked"] | None = None
    ) -> Float[np.ndarray, "asked genes"]:
        """Change of every gene when one is lost, at the times of the data or others; its own is minus its baseline.

        With fewer hops only paths of so many links count.
        """
        place: Int[np.ndarray, " one"] = self.genes.get_indexer([gene])
        when = self.times if times is None else times
        hops = self.n_hops if n_hops is None else n_hops
        out = -self.baseline[place] * changes(self.model, when, place, hops)[:, 0]
        out[:, place] = -self.baseline[place]
        return out

    def expression(self, gene: str) -> Float[np.ndarray, "times genes"]:
        """Mean expression at every time of the data when a gene is lost."""
        return self.model.level + self.change(gene)
