"""What RiTINI foretells when genes are held at a level or lose their outgoing links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Float32

from ...._core.compute import one_thread
from .model import Pairs, RitiniNet
from .options import AHEAD, HISTORY
from .series import Series, places, windows

WEIGHTS = "weights"


@dataclass(frozen=True, slots=True)
class Predictor:
    """A fitted model with the names of its genes, the series that it was fitted to, and its candidate pairs."""

    genes: pd.Index
    series: Series
    candidates: Bool[np.ndarray, "sources targets"]
    weights: dict[str, Float32[np.ndarray, "..."]]

    @classmethod
    def of(cls, net: RitiniNet, series: Series, genes: pd.Index, candidates: np.ndarray) -> Predictor:
        """With copies of the weights of a net."""
        weights = {name: value.detach().cpu().numpy().copy() for name, value in net.state_dict().items()}
        return cls(genes, series, candidates, weights)

    @property
    def times(self) -> Float[np.ndarray, " windows"]:
        """Time of the last point that is foretold in every window."""
        return self.series.times[HISTORY + AHEAD - 1 :]

    @property
    def net(self) -> RitiniNet:
        """The model with these weights."""
        odds = self.weights.get("graph_ode.func.gnn.odds")
        net = RitiniNet.drawn(0, None if odds is None else Pairs(odds.shape[1], odds.shape[0]))
        net.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights.items()})
        return net.eval()

    def to_uns(self) -> dict[str, Any]:
        """Arrays that every AnnData format can hold."""
        series = self.series
        return {
            "genes": self.genes.to_numpy(dtype=object), "times": series.times, "values": series.values,
            "mean": series.mean, "scale": series.scale, "candidates": sp.csr_matrix(self.candidates),
            WEIGHTS: dict(self.weights),
        }  # fmt: skip

    @classmethod
    def from_uns(cls, stored: Mapping[str, Any]) -> Predictor:
        """Read what `to_uns` wrote, from any format."""
        parts = (np.asarray(stored[name], dtype=np.float64) for name in ("times", "values", "mean", "scale"))
        candidates = sp.csr_matrix(stored["candidates"]).toarray().astype(bool)
        weights = {str(name): np.array(value, dtype=np.float32) for name, value in stored[WEIGHTS].items()}
        return cls(pd.Index(stored["genes"]).astype(str), Series(*parts), candidates, weights)

    def expression(
        self, held: Mapping[str, float] | None = None, cut: Collection[str] = ()
    ) -> Float[np.ndarray, "windows genes"]:
        """Log expression at the last point that is foretold in every window.

        Genes are held at levels all along the window (infinity: the highest of the series); those of `cut` go their way
        and no gene hears of them.
        """
        series, held = self.series, held or {}
        place = self.genes.get_indexer(pd.Index(list(held)))
        level = np.minimum(np.array(list(held.values()), dtype=np.float64), series.values.max(axis=0)[place])
        history = windows(series.standard)[0]
        history[:, :, place] = ((level - series.mean[place]) / series.scale[place]).astype(np.float32)
        candidates, still = self.candidates.copy(), np.zeros(self.genes.size, dtype=bool)
        candidates[self.genes.get_indexer(pd.Index(list(cut)))] = False
        still[place] = True
        with torch.no_grad(), one_thread():
            found = self.net(
                torch.from_numpy(history), torch.from_numpy(candidates), torch.from_numpy(places(len(history))),
                still=torch.from_numpy(still),
            )  # fmt: skip
        out = found.values[:, -1].double().numpy() * series.scale + series.mean
        out[:, place] = level
        return out

    def change(self, held: Mapping[str, float], cut: Collection[str] = ()) -> Float[np.ndarray, "windows genes"]:
        """Change against what is foretold without either."""
        return self.expression(held, cut) - self.expression()
