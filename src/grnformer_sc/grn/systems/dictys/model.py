"""The model: counts of a low-rank Gaussian that is the steady state of a linear process; its loss and gradient.

Counts of gene g in cell c are binomial, D ~ Binomial(N_c, sigmoid(G_cg)). The latent G_c is Gaussian with mean mu and
covariance S = diag(d) + W W', and its posterior is taken as independent Gaussians (m, s). S is the steady state of a process
whose drift is A = reg I - B, where B holds the links, when A S + S A' is the covariance of the noise, diag(n). The loss is

    E[log q(G) - log p(G)] + weight ||A S + S A' - diag(n)||^2 - E[log p(D | G)],

its expectations taken at one draw G = m + s * noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# Open ranges of parameters; a free number becomes one of them by a sigmoid, or by exp where only 0 bounds it.
RANGES: Mapping[str, tuple[float, float]] = {"level": (-20, 0), "link": (-5, 5), "rate": (-10, 10)}
POSITIVE = ("residual", "noise", "spread")


@dataclass(frozen=True, slots=True)
class Parts:
    """Parameters, their free form, or their gradient: mu, d, W, n, entries of B, reg, m, s."""

    level: Float[Tensor, " genes"]
    residual: Float[Tensor, " genes"]
    factor: Float[Tensor, "genes factors"]
    noise: Float[Tensor, " genes"]
    link: Float[Tensor, " links"]
    rate: Float[Tensor, ""]
    mean: Float[Tensor, "cells genes"]
    spread: Float[Tensor, "cells genes"]

    def items(self) -> list[tuple[str, Tensor]]:
        """Names and tensors."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def like(self, vector: Float[Tensor, " all"]) -> Parts:
        """Views of a vector in these shapes, in order."""
        sizes = [part.numel() for _, part in self.items()]
        views = torch.split(vector, sizes)
        return Parts(*(view.view(part.shape) for view, (_, part) in zip(views, self.items(), strict=True)))

    def natural(self) -> Parts:
        """Parameters of free numbers."""
        return Parts(*(_natural(name, part) for name, part in self.items()))

    def free(self) -> Parts:
        """Free numbers of parameters."""
        return Parts(*(_free(name, part) for name, part in self.items()))


def _natural(name: str, x: Tensor) -> Tensor:
    if name in POSITIVE:
        return x.exp()
    if name in RANGES:
        low, high = RANGES[name]
        return low + (high - low) * torch.sigmoid(x)
    return x


def _free(name: str, x: Tensor) -> Tensor:
    if name in POSITIVE:
        return x.log()
    if name in RANGES:
        low, high = RANGES[name]
        return torch.log(x - low) - torch.log(high - x)
    return x


def _slope(name: str, x: Tensor) -> Tensor:
    """Change of a parameter with its free number."""
    if name in POSITIVE:
        return x
    low, high = RANGES[name]
    return (x - low) * (high - x) / (high - low)


@dataclass(frozen=True, slots=True)
class Data:
    """Counts, totals of the cells, and ends of the links; TFs are the first genes."""

    counts: Float[Tensor, "cells genes"]
    total: Float[Tensor, "cells 1"]
    tf: Int[Tensor, " links"]
    gene: Int[Tensor, " links"]
    n_tfs: int

    @classmethod
    def of(
        cls, counts: Float[np.ndarray, "cells genes"], total: Float[np.ndarray, " cells"],
        links: Int[np.ndarray, "2 links"], n_tfs: int, device: str = "cpu",
    ) -> Data:  # fmt: skip
        """Tensors of arrays, in float32."""
        x, n = (torch.from_numpy(part.astype(np.float32)).to(device) for part in (counts, total[:, None]))
        tf, gene = (torch.from_numpy(part.astype(np.int64)).to(device) for part in links)
        return cls(x, n, tf, gene, n_tfs)

    def matrix(self, link: Float[Tensor, " links"]) -> Float[Tensor, "genes tfs"]:
        """B, of which only the columns of TFs are not 0."""
        n_genes = self.counts.shape[1]
        out = torch.zeros(n_genes * self.n_tfs, dtype=link.dtype, device=link.device)
        return out.scatter(0, self.gene * self.n_tfs + self.tf, link).view(n_genes, self.n_tfs)

    def weight(self, scale: float) -> float:
        """What the squared distance from a steady state counts."""
        n_cells, n_genes = self.counts.shape
        return scale * n_cells / (4 * n_genes)


def covariance(p: Parts) -> tuple[Tensor, Tensor]:
    """W as D^-1 W and as S^-1 W, by Woodbury: (D + W W')^-1 W = D^-1 W (I + W' D^-1 W)^-1."""
    scaled = p.factor / p.residual[:, None]
    inner = torch.eye(scaled.shape[1], dtype=scaled.dtype, device=scaled.device).addmm(p.factor.T, scaled)
    return scaled, torch.cholesky_solve(scaled.T, torch.linalg.cholesky(inner)).T


def imbalance(p: Parts, matrix: Float[Tensor, "genes tfs"]) -> tuple[Tensor, Tensor]:
    """A S + S A' - diag(n), and A W. With C = B D it is A W W' - C and its transpose, plus what is diagonal."""
    n_tfs = matrix.shape[1]
    drift = p.rate * p.factor - matrix @ p.factor[:n_tfs]
    half = drift @ p.factor.T
    half[:, :n_tfs] -= matrix * p.residual[:n_tfs]
    out = half + half.T
    out.diagonal().add_(2 * p.rate * p.residual - p.noise)
    return out, drift


def terms(p: Parts, noise: Float[Tensor, "cells genes"], data: Data, scale: float) -> Float[Tensor, "3"]:
    """Latent, steady-state and count terms of the loss, summed in float64."""
    n_cells, n_genes = data.counts.shape
    constant = n_cells * n_genes * math.log(2 * math.pi) / 2
    latent = p.mean + p.spread * noise
    centred = latent - p.level
    scaled, solved = covariance(p)
    inner = torch.eye(scaled.shape[1], dtype=scaled.dtype, device=scaled.device) + p.factor.T @ scaled
    half_logdet = _sum(torch.linalg.cholesky(inner).diagonal().log()) + _sum(p.residual.log()) / 2
    square = _sum(centred**2 / p.residual) - _sum((centred @ scaled) * (centred @ solved))
    prior = -square / 2 - n_cells * half_logdet - constant
    posterior = -_sum(noise**2) / 2 - _sum(p.spread.log()) - constant
    d, n = data.counts.double(), data.total.double()
    ways = torch.lgamma(n + 1) - torch.lgamma(d + 1) - torch.lgamma(n - d + 1)
    seen = (ways + d * latent - n * torch.nn.functional.softplus(latent.double())).sum()
    apart = data.weight(scale) * _sum(imbalance(p, data.matrix(p.link))[0] ** 2)
    return torch.stack([posterior - prior, apart, -seen])


def _sum(x: Tensor) -> Tensor:
    return x.sum(dtype=torch.float64)


def gradient(free: Parts, noise: Float[Tensor, "cells genes"], data: Data, scale: float, out: Parts) -> None:
    """Write the gradient of the loss by the free numbers to `out`; `noise` is overwritten.

    In closed form: a step takes a third of what automatic differentiation needs (tests compare the two).
    """
    p = free.natural()
    moved = noise.mul_(p.spread)
    latent = p.mean + moved
    scaled, solved = covariance(p)
    centred = latent - p.level
    pull = (centred / p.residual).addmm_(centred @ scaled, solved.T, alpha=-1)  # S^-1 (G - mu)
    torch.addcmul(pull - data.counts, latent.sigmoid_(), data.total, out=out.mean)
    torch.mul(out.mean, moved, out=out.spread).sub_(1)
    torch.mul(pull.sum(dim=0), _slope("level", p.level), out=out.level).neg_()
    n_cells = len(noise)
    by_factor = n_cells * solved - pull.T @ (pull @ p.factor)
    own = 1 / p.residual - (solved * scaled).sum(dim=1)  # diagonal of S^-1
    by_residual = (n_cells * own - (pull * pull).sum(dim=0)) / 2
    _steady_gradient(p, data, scale, out, by_factor, by_residual)


def _steady_gradient(p: Parts, data: Data, scale: float, out: Parts, by_factor: Tensor, by_residual: Tensor) -> None:
    """Add what the steady state says of W and d, and write the gradients of the rest."""
    matrix, n = data.matrix(p.link), data.n_tfs
    apart, drift = imbalance(p, matrix)
    apart *= 2 * data.weight(scale)  # by the imbalance itself
    by_drift = 2 * apart @ p.factor
    by_own, by_columns = apart.diagonal(), -2 * apart[:, :n]
    by_factor += 2 * apart @ drift + p.rate * by_drift
    by_factor[:n] -= matrix.T @ by_drift
    by_residual += 2 * p.rate * by_own
    by_residual[:n] += (by_columns * matrix).sum(dim=0)
    by_matrix = by_columns * p.residual[:n] - by_drift @ p.factor[:n].T
    by_rate = (by_drift * p.factor).sum() + 2 * (by_own * p.residual).sum()
    out.factor.copy_(by_factor)
    torch.mul(by_residual, p.residual, out=out.residual)
    torch.mul(by_own, p.noise, out=out.noise).neg_()
    torch.mul(by_matrix.reshape(-1)[data.gene * n + data.tf], _slope("link", p.link), out=out.link)
    torch.mul(by_rate, _slope("rate", p.rate), out=out.rate)
