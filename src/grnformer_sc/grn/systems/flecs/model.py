"""The differential equations of FLeCS and their integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

# entries of a regulators x genes matrix per link up to which it is faster than going from link to link (measured)
DENSE = 32

Slope = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Links:
    """Regulator and target of every link, as places among the genes."""

    source: Int[np.ndarray, " links"]
    target: Int[np.ndarray, " links"]
    n_genes: int

    def symmetrized(self) -> Links:
        """The same with the reverse of every link, sorted by source and target, each once."""
        n = self.n_genes
        pair = np.unique(np.concatenate([self.source * n + self.target, self.target * n + self.source]))
        return Links(pair // n, pair % n, n)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weight of every link, and bias and rate of decay (`alpha`) of every gene."""

    weight: Float32[np.ndarray, " links"]
    bias: Float32[np.ndarray, " genes"]
    alpha: Float32[np.ndarray, " genes"]

    @classmethod
    def drawn(cls, links: Links, rng: np.random.Generator) -> Parameters:
        """Start of the training: weights and biases close to 0, decay after Gamma(2, rate 10)."""
        size = links.source.size, links.n_genes
        weight, bias = (rng.normal(0, 0.01, n).astype(np.float32) for n in size)
        return cls(weight, bias, rng.gamma(2, 0.1, links.n_genes).astype(np.float32))

    def tensors(self, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
        """Copies as tensors."""
        weight, bias, alpha = (torch.tensor(x, device=device) for x in (self.weight, self.bias, self.alpha))
        return weight, bias, alpha


class Wired:
    """Links laid out once for many evaluations, on a device."""

    def __init__(self, links: Links, device: str = "cpu", *, dense: bool | None = None) -> None:
        regulator, row = np.unique(links.source, return_inverse=True)
        self.n_genes, self.n_regulators = links.n_genes, regulator.size
        size = self.n_genes * self.n_regulators
        self.dense = size <= DENSE * links.source.size if dense is None else dense
        self.every = regulator.size == links.n_genes
        place = torch.from_numpy(row.ravel() * links.n_genes + links.target)
        self.regulator, self.place, self.source, self.target = (
            x.to(device) for x in (torch.from_numpy(regulator), place, *map(torch.from_numpy, (links.source, links.target)))
        )  # fmt: skip

    def input(self, weight: Tensor, bias: Tensor) -> Slope:
        """The function of the states (cells x genes) that sums up what reaches every gene."""
        if not self.dense:
            over: Callable[..., Tensor] = _OverLinks.apply
            return lambda x: bias + over(x, weight, self.source, self.target)
        flat = weight.new_zeros(self.n_regulators * self.n_genes).index_put((self.place,), weight)
        matrix = flat.view(self.n_regulators, self.n_genes)
        if self.every:
            return lambda x: torch.addmm(bias, x, matrix)
        return lambda x: torch.addmm(bias, x[:, self.regulator], matrix)


class _OverLinks(torch.autograd.Function):
    """Sum over links of weight times regulator; nothing of the size cells x links is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, source, target)
        by_gene = x.t().contiguous()
        return torch.zeros_like(by_gene).index_add_(0, target, by_gene[source] * weight[:, None]).t()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, source, target = ctx.saved_tensors
        reached = above[0].t().contiguous()[target]
        by_gene = x.t().contiguous()
        of_weight = (by_gene[source] * reached).sum(dim=1)
        of_state = torch.zeros_like(by_gene).index_add_(0, source, reached * weight[:, None])
        return of_state.t(), of_weight, None, None


def slope_of(wired: Wired, weight: Tensor, bias: Tensor, alpha: Tensor, free: Tensor | None = None) -> Slope:
    """Derivative of the states (cells x genes): sigmoid(sum of w s + b) - alpha s; 0 where `free` is 0."""
    reach = wired.input(weight, bias)
    if free is None:
        return lambda x: torch.sigmoid(reach(x)) - alpha * x
    return lambda x: (torch.sigmoid(reach(x)) - alpha * x) * free


def integrate(
    slope: Slope, start: Float[Tensor, "cells genes"], times: Float[np.ndarray, " times"], max_step: float
) -> Float[Tensor, "cells times genes"]:
    """States at all times from those at the first, by Runge-Kutta steps of fourth order and equal length in between."""
    x, out = start, [start]
    for before, after in pairwise(times.tolist()):
        n_steps = int(np.ceil((after - before) / max_step - 1e-9))
        h = (after - before) / n_steps
        for _ in range(n_steps):
            k1 = slope(x)
            k2 = slope(torch.add(x, k1, alpha=h / 2))
            k3 = slope(torch.add(x, k2, alpha=h / 2))
            k4 = slope(torch.add(x, k3, alpha=h))
            x = torch.add(x, k1 + k4 + 2 * (k2 + k3), alpha=h / 6)
        out.append(x)
    return torch.stack(out, dim=1)
