"""What FLeCS foretells when genes are held at a level, from the model that is stored with its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32

from ...._core.compute import one_thread
from .model import Links, Parameters, Wired, integrate, slope_of
from .trajectories import mean_gap


@dataclass(frozen=True, slots=True)
class Predictor:
    """A fitted model with the names of its genes and its times.

    Attributes
    ----------
    start
        States of cells at the first time, without any knock-out.
    highest
        Highest value of every gene in any cell of the trajectories.
    since
        Time at which genes are held from; not after the first one. The cells are then taken to be as at the first time.
    """

    genes: pd.Index
    times: Float[np.ndarray, " times"]
    links: Links
    parameters: Parameters
    start: Float32[np.ndarray, "cells genes"]
    highest: Float32[np.ndarray, " genes"]
    since: float
    max_step: float

    def to_uns(self) -> dict[str, Any]:
        """Arrays and numbers that every AnnData format can hold."""
        return {
            "genes": self.genes.to_numpy(dtype=object), "times": self.times, "source": self.links.source,
            "target": self.links.target, "weight": self.parameters.weight, "bias": self.parameters.bias,
            "decay": self.parameters.alpha, "start": self.start, "highest": self.highest, "since": self.since,
            "max_step": self.max_step,
        }  # fmt: skip

    @classmethod
    def from_uns(cls, stored: Mapping[str, Any]) -> Predictor:
        """Read what `to_uns` wrote, from any format."""
        genes = pd.Index(stored["genes"]).astype(str)
        source, target = (np.asarray(stored[name]).astype(np.int64) for name in ("source", "target"))
        single = {name: np.asarray(stored[name]).astype(np.float32) for name in ("weight", "bias", "decay")}
        return cls(
            genes, np.asarray(stored["times"], dtype=np.float64), Links(source, target, genes.size),
            Parameters(*single.values()),
            np.asarray(stored["start"]).astype(np.float32), np.asarray(stored["highest"]).astype(np.float32),
            float(stored["since"]), float(stored["max_step"]),
        )  # fmt: skip

    def expression(self, held: Mapping[str, float] | None = None) -> Float[np.ndarray, "times genes"]:
        """Mean of the cells at every time of the data, with genes held at their levels (infinity: the highest seen)."""
        levels = held or {}
        place = self.genes.get_indexer(pd.Index(list(levels)))
        value = np.minimum(np.array(list(levels.values()), dtype=np.float32), self.highest[place]) if levels else 0.0
        begin, free = self.start.copy(), np.ones((1, self.genes.size), dtype=np.float32)
        begin[:, place], free[:, place] = value, 0
        earlier = self.since < self.times[0]
        when = np.concatenate([[self.since], self.times]) if earlier else self.times
        with torch.no_grad(), one_thread():
            slope = slope_of(Wired(self.links), *self.parameters.tensors(), free=torch.from_numpy(free))
            unit = (when - when[0]) / mean_gap(self.times)
            mean = integrate(slope, torch.from_numpy(begin), unit, self.max_step).double().mean(dim=0).numpy()
        return mean[1:] if earlier else mean

    def change(self, held: Mapping[str, float]) -> Float[np.ndarray, "times genes"]:
        """Change of the mean against that without any hold."""
        return self.expression(held) - self.expression()
