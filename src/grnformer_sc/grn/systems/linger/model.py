"""The networks of a block of genes, evaluated together: inputs -> 64 -> 16 -> 1, ReLU in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

FIRST, SECOND = 64, 16  # hidden units


@dataclass(frozen=True, slots=True)
class Nets:
    """Weights, or anything with one number for each of them (gradients, Fisher information).

    Attributes
    ----------
    tf, region
        First layer, of the TFs (the same for all genes) and of the regions of each gene (0 where it has fewer).
    bias1, second, bias2, third, bias3
        The rest.
    """

    tf: Float[Tensor, "genes first tfs"]
    region: Float[Tensor, "genes first regions"]
    bias1: Float[Tensor, "genes first"]
    second: Float[Tensor, "genes second first"]
    bias2: Float[Tensor, "genes second"]
    third: Float[Tensor, "genes second"]
    bias3: Float[Tensor, " genes"]

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, name) for name in NAMES)

    def map(self, change: Callable[..., Tensor], *others: Nets) -> Nets:
        """Apply a function to the tensors of the same name."""
        return Nets(*(change(*parts) for parts in zip(self, *others, strict=True)))


NAMES = tuple(field.name for field in fields(Nets))


@dataclass(frozen=True, slots=True)
class Inputs:
    """Standardised expression of the TFs and accessibility of the regions of each gene, over the same samples."""

    tf: Float[Tensor, "tfs samples"]
    region: Float[Tensor, "genes regions samples"]

    def take(self, samples: Tensor) -> Inputs:
        """Some of the samples."""
        return Inputs(self.tf[:, samples], self.region[:, :, samples])


@dataclass(frozen=True, slots=True)
class Layers:
    """What the units of a layer receive, before ReLU, and what the networks predict."""

    first: Float[Tensor, "genes first samples"]
    second: Float[Tensor, "genes second samples"]
    out: Float[Tensor, "genes samples"]


def evaluate(nets: Nets, x: Inputs) -> Layers:
    """Run all networks: one product for the TFs of all genes, and one per gene for its regions."""
    n_genes, n_first, n_tfs = nets.tf.shape
    first = (nets.tf.reshape(-1, n_tfs) @ x.tf).view(n_genes, n_first, -1)
    first = first.baddbmm_(nets.region, x.region).add_(nets.bias1[:, :, None])
    second = torch.baddbmm(nets.bias2[:, :, None], nets.second, first.relu())
    out = torch.bmm(nets.third[:, None], second.relu())[:, 0] + nets.bias3[:, None]
    return Layers(first, second, out)


def derivatives(
    nets: Nets, layers: Layers, error: Float[Tensor, "genes samples"]
) -> tuple[Float[Tensor, "genes first samples"], Float[Tensor, "genes second samples"]]:
    """What `error`, the derivative by the output, is by what the units of both layers receive."""
    second = (nets.third[:, :, None] * error[:, None]) * (layers.second > 0)
    return torch.bmm(nets.second.mT, second) * (layers.first > 0), second


def gradients(nets: Nets, x: Inputs, layers: Layers, error: Float[Tensor, "genes samples"]) -> Nets:
    """Derivative by every weight, summed over the samples."""
    first, second = derivatives(nets, layers, error)
    return _outer(x, layers.first.relu(), layers.second.relu(), first, second, error)


def fisher(nets: Nets, x: Inputs) -> Nets:
    """Mean over the samples of the squared derivative of the output by every weight.

    That is the diagonal Fisher information of a Gaussian with unit variance around the prediction.
    """
    layers = evaluate(nets, x)
    one = torch.ones_like(layers.out)
    first, second = derivatives(nets, layers, one)
    squared = Inputs(x.tf**2, x.region**2)
    total = _outer(squared, layers.first.relu() ** 2, layers.second.relu() ** 2, first**2, second**2, one)
    return total.map(lambda part: part / one.shape[1])


def _outer(x: Inputs, in2: Tensor, in3: Tensor, first: Tensor, second: Tensor, out: Tensor) -> Nets:
    """Sums over the samples of what goes into a weight times what comes back to it."""
    n_genes, n_first, n_samples = first.shape
    return Nets(
        tf=(first.reshape(-1, n_samples) @ x.tf.T).view(n_genes, n_first, -1),
        region=torch.bmm(first, x.region.mT),
        bias1=first.sum(dim=2),
        second=torch.bmm(second, in2.mT),
        bias2=second.sum(dim=2),
        third=torch.bmm(in3, out[:, :, None])[:, :, 0],
        bias3=out.sum(dim=1),
    )


def drawn(n_tfs: int, n_regions: int, width: int, generator: torch.Generator) -> Nets:
    """Start of the network of one gene, as torch starts linear layers; regions up to `width` are 0."""
    n_in = n_tfs + n_regions

    def uniform(size: tuple[int, ...], fan_in: int) -> Tensor:
        return (torch.rand(size, generator=generator) * 2 - 1) / max(fan_in, 1) ** 0.5

    first = uniform((1, FIRST, n_in), n_in)
    region = torch.zeros(1, FIRST, width)
    region[:, :, :n_regions] = first[:, :, n_tfs:]
    return Nets(
        first[:, :, :n_tfs].clone(), region, uniform((1, FIRST), n_in), uniform((1, SECOND, FIRST), FIRST),
        uniform((1, SECOND), FIRST), uniform((1, SECOND), SECOND), uniform((1,), SECOND),
    )  # fmt: skip


def stacked(nets: list[Nets]) -> Nets:
    """Networks of several genes below each other."""
    return Nets(*(torch.cat(parts) for parts in zip(*nets, strict=True)))
