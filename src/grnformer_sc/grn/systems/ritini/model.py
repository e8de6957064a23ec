"""The model of RiTINI: a history of every gene, a differential equation over attention, a read-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from .options import AHEAD

DIM, HIDDEN = 16, 64
STAGES = 4 * (AHEAD - 1)  # evaluations of the derivative in a forecast
STEP = 0.1  # time between points, in the unit of the equation
LEAKY = 0.2  # slope of the log odds below zero
NEVER = -1e9  # log odds of a pair that is no candidate
EFFECT, OWN = 0.5, 0.1  # sd of the first values of what only the form with pairs has

Slope = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Size of the form in which pairs of genes have parameters of their own: genes, and knots in time."""

    genes: int
    knots: int


@dataclass(frozen=True, slots=True)
class Dropout:
    """Share of the values that is dropped, and the generator that draws which."""

    rate: float
    generator: torch.Generator

    def masks(self, *shape: int) -> Tensor:
        """Factors of 0, or of what the others are scaled up by; all that a forecast needs are drawn at once."""
        drawn = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return (drawn >= self.rate) / (1 - self.rate)


@dataclass(frozen=True, slots=True)
class Laid:
    """What all evaluations of the derivative share.

    Attributes
    ----------
    base
        Log odds that do not depend on the states.
    project
        The map of states to messages, and to the two terms of the log odds.
    factor
        What attention is multiplied by: signed effects of the form with pairs, 0 where a target has no candidate.
    masks
        Dropout of states and of attention in each evaluation.
    """

    base: Float[Tensor, "_ targets sources"]
    project: Float[Tensor, "dim dim_and_2"]
    factor: Float[Tensor, "targets _"] | None
    masks: Iterator[tuple[Tensor, Tensor]] | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Values at the points after each history, and the attention from which the last of them came."""

    values: Float[Tensor, "windows ahead genes"]
    attention: Float[Tensor, "windows sources targets"]


class GraphAttention(nn.Module):
    """Attention of every target over its candidate sources: one head, no self loops."""

    def __init__(self, pairs: Pairs | None) -> None:
        super().__init__()
        self.lin = nn.Linear(DIM, DIM, bias=False)
        self.att_src, self.att_dst = (nn.Parameter(torch.empty(1, 1, DIM)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(DIM))
        for weight in (self.lin.weight, self.att_src, self.att_dst):
            nn.init.xavier_uniform_(weight)
        self.pairs = pairs
        if pairs is not None:
            n = pairs.genes
            self.odds = nn.Parameter(torch.zeros(pairs.knots, n, n))
            self.effect = nn.Parameter(EFFECT * torch.randn(n, n))

    def lay(
        self, candidates: Bool[Tensor, "sources targets"], place: Float[Tensor, " windows"], drop: Dropout | None = None
    ) -> Laid:
        """Prepare a forecast of some windows, whose `place` in time goes from 0 to 1."""
        windows, genes = place.numel(), candidates.shape[0]
        both = torch.cat([self.att_src[0], self.att_dst[0]]) @ self.lin.weight
        masks = None
        if drop is not None:
            states, attention = (drop.masks(STAGES, windows, genes, size) for size in (DIM, genes))
            masks = zip(states.unbind(), attention.unbind(), strict=True)
        linked = candidates.any(dim=0).to(place)[:, None]
        own, factor = place.new_zeros(1, genes, genes), None if bool(linked.all()) else linked
        if self.pairs is not None:
            at = torch.arange(self.pairs.knots, device=place.device)
            near = (1 - (place[:, None] * (self.pairs.knots - 1) - at).abs()).clamp(min=0)
            own, factor = torch.einsum("wk,kts->wts", near, self.odds), torch.tanh(self.effect) * linked
        return Laid(own.masked_fill(~candidates.T, NEVER), torch.cat([self.lin.weight, both]).T, factor, masks)

    def forward(self, z: Tensor, laid: Laid) -> tuple[Tensor, Tensor]:
        """What reaches every target (windows x genes x dim), and the weights of its sources, which sum to 1."""
        of_states, of_attention = (None, None) if laid.masks is None else next(laid.masks)
        w = (z if of_states is None else z * of_states) @ laid.project
        source, target = w[..., None, :, DIM], w[..., DIM + 1 :]
        attention = torch.softmax(laid.base + functional.leaky_relu(target + source, LEAKY), dim=-1)
        weight = attention if of_attention is None else attention * of_attention
        if laid.factor is not None:
            weight = weight * laid.factor
        return torch.baddbmm(self.bias, weight, w[..., :DIM]), attention


class Derivative(nn.Module):
    """dz/dt = MLP(tanh(attention)); in the form with pairs the MLP also sees the gene itself."""

    def __init__(self, pairs: Pairs | None) -> None:
        super().__init__()
        self.gnn = GraphAttention(pairs)
        width = DIM if pairs is None else 2 * DIM
        self.mlp = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, DIM)
        )
        if pairs is not None:
            self.own = nn.Parameter(OWN * torch.randn(pairs.genes, DIM))

    def forward(self, z: Tensor, laid: Laid) -> tuple[Tensor, Tensor]:
        """Derivative of the states (windows x genes x dim), and the attention behind it (windows x targets x sources)."""
        reached, attention = self.gnn(z, laid)
        x = torch.tanh(reached)
        if self.gnn.pairs is not None:
            x = torch.cat([x, z + self.own], dim=-1)
        return self.mlp(x), attention


class GraphODE(nn.Module):
    """Where the published program keeps the derivative."""

    def __init__(self, pairs: Pairs | None) -> None:
        super().__init__()
        self.func = Derivative(pairs)


class RitiniNet(nn.Module):
    """RiTINI; names and shapes of the parameters are those of the published checkpoints.

    Parameters
    ----------
    pairs
        `None` is the published form, which knows no gene by name: all targets rank their sources alike, by a function of
        the states. With a size, every pair of genes also has log odds of its own, linear between knots in time, and a
        signed effect, and every gene a vector of its own.
    """

    def __init__(self, pairs: Pairs | None = None) -> None:
        super().__init__()
        self.history_encoder = nn.LSTM(1, DIM, batch_first=True)
        self.graph_ode = GraphODE(pairs)
        self.readout = nn.Sequential(nn.Linear(DIM, DIM), nn.Tanh(), nn.Linear(DIM, 1))

    @classmethod
    def drawn(cls, seed: int, pairs: Pairs | None = None) -> RitiniNet:
        """A net with first weights by a seed, drawn on the CPU; nothing else that is random notices."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            return cls(pairs)

    def forward(
        self,
        history: Float[Tensor, "windows points genes"],
        candidates: Bool[Tensor, "sources targets"],
        place: Float[Tensor, " windows"],
        *,
        drop: Dropout | None = None,
        still: Bool[Tensor, " genes"] | None = None,
    ) -> Forecast:
        """Foretell the next points of every window; genes that are `still` keep their state."""
        windows, points, genes = history.shape
        _, (last, _) = self.history_encoder(history.transpose(1, 2).reshape(windows * genes, points, 1))
        laid = self.graph_ode.func.gnn.lay(candidates, place, drop)
        free = None if still is None else (~still).to(history)[:, None]

        def slope(z: Tensor) -> tuple[Tensor, Tensor]:
            change, attention = self.graph_ode.func(z, laid)
            return change if free is None else change * free, attention

        states, attention = integrate(slope, last[0].view(windows, genes, DIM))
        linked = candidates.any(dim=0)
        values: Tensor = self.readout(states).squeeze(-1)
        return Forecast(values, attention.transpose(1, 2) * linked)


def integrate(
    slope: Slope, z: Float[Tensor, "windows genes dim"]
) -> tuple[Float[Tensor, "windows ahead genes dim"], Float[Tensor, "windows targets sources"]]:
    """States at all points by the 3/8 rule, and the attention of the last evaluation; the first is the start itself."""
    states = [z]
    for _ in range(AHEAD - 1):
        k1, _ = slope(z)
        k2, _ = slope(torch.add(z, k1, alpha=STEP / 3))
        k3, _ = slope(z + STEP * (k2 - k1 / 3))
        k4, attention = slope(z + STEP * (k1 - k2 + k3))
        z = torch.add(z, k1 + 3 * (k2 + k3) + k4, alpha=STEP / 8)
        states.append(z)
    return torch.stack(states, dim=1), attention
