"""Contributions of inputs to a prediction: DeepLIFT's rescale rule, averaged over background samples (DeepSHAP)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .model import Inputs, Nets, evaluate

CLOSE = 1e-6  # difference of two inputs of a unit below which its slope is the derivative
BLOCK = 8_000_000  # numbers held at a time


def mean_contributions(
    nets: Nets, x: Inputs, background: Int[Tensor, " background"]
) -> tuple[Float[Tensor, "genes tfs"], Float[Tensor, "genes regions"]]:
    """Mean over the samples of the size of every input's contribution, gene by gene."""
    tf, region = torch.zeros_like(nets.tf[:, 0]), torch.zeros_like(nets.region[:, 0])
    for gene in range(tf.shape[0]):
        one = nets.map(lambda part, gene=gene: part[gene : gene + 1])
        found = contributions(one, Inputs(x.tf, x.region[gene : gene + 1]), background).abs().mean(dim=1)
        tf[gene], region[gene] = found[: x.tf.shape[0]], found[x.tf.shape[0] :]
    return tf, region


def contributions(net: Nets, x: Inputs, background: Int[Tensor, " background"]) -> Float[Tensor, "inputs samples"]:
    """Contribution of every input of one gene (TFs, then its regions) to every sample's prediction.

    They add up to the prediction less its mean over the background samples, and are exact Shapley values where no unit
    bends between a sample and the background.
    """
    layers, first = evaluate(net, x), torch.cat([net.tf[0], net.region[0]], dim=1)
    values = torch.cat([x.tf, x.region[0]])
    behind = values[:, background].T / background.numel()
    z1, z2 = layers.first[0], layers.second[0]
    used = (z1 > 0).any(dim=1)  # a unit that no sample switches on passes nothing on
    z1, first, second = z1[used], first[used], net.second[0][:, used]
    out = torch.empty_like(values)
    step = max(1, BLOCK // max(int(used.sum()) * max(first.shape[1], background.numel()), 1))
    for a in range(0, values.shape[1], step):
        upper = _slope(z2[:, a : a + step], z2[:, background]) * net.third[0][:, None, None]
        reach = _slope(z1[:, a : a + step], z1[:, background]) * torch.tensordot(second, upper, dims=([0], [0]))
        here = values[:, a : a + step] * (first.T @ reach.mean(dim=2))
        out[:, a : a + step] = here - ((reach @ behind) * first[:, None]).sum(dim=0).T
    return out


def _slope(z: Float[Tensor, "units samples"], base: Float[Tensor, "units background"]) -> Tensor:
    """How much of a change of a unit's input goes through its ReLU, from every background sample to every sample."""
    change = z[:, :, None] - base[:, None]
    passed = z.relu()[:, :, None] - base.relu()[:, None]
    flat = change.abs() < CLOSE
    return torch.where(flat, (z > 0).to(z)[:, :, None], passed / torch.where(flat, 1, change))
