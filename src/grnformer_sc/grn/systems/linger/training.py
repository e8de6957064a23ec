"""Loss of the networks and its gradient, written out, and Adam on all samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...._core.checks import fail
from .model import Inputs, Nets, evaluate, gradients
from .options import LingerOptions


@dataclass(frozen=True, slots=True)
class Graph:
    """The motif graph between TFs and regions of each gene, with degrees normalised.

    `link` is D^-1/2 A D^-1/2; what has no neighbour (0 in `tf` and `region`) has no row in the Laplacian.
    """

    link: Float[Tensor, "genes tfs regions"]
    tf: Float[Tensor, "genes tfs"]
    region: Float[Tensor, "genes regions"]

    @classmethod
    def of(cls, hits: Float[Tensor, "genes tfs regions"]) -> Graph:
        """Normalise an adjacency."""
        of_tf, of_region = hits.sum(dim=2), hits.sum(dim=1)
        scale = (of_tf.clamp(min=1).rsqrt()[:, :, None]) * (of_region.clamp(min=1).rsqrt()[:, None])
        return cls(hits * scale, (of_tf > 0).to(hits), (of_region > 0).to(hits))


@dataclass(frozen=True, slots=True)
class Anchor:
    """Networks of other data, 0 where nothing fits, and the Fisher information of their weights, 0 there too."""

    nets: Nets
    fisher: Nets


@dataclass(frozen=True, slots=True)
class Task:
    """Inputs, targets and what else the loss of a block of genes needs.

    `closed` names the weights of TFs that are no input of a gene (rows: gene, TF): they are 0 and stay 0.
    """

    x: Inputs
    y: Float[Tensor, "genes samples"]
    closed: tuple[Int[Tensor, " closed"], Int[Tensor, " closed"]]
    graph: Graph | None = None
    anchor: Anchor | None = None


def loss_terms(nets: Nets, task: Task, options: LingerOptions) -> dict[str, Float[Tensor, " genes"]]:
    """Terms of the loss of every gene; their sum is what is minimised."""
    found = {
        "mse": ((evaluate(nets, task.x).out - task.y) ** 2).mean(dim=1),
        "l1": float(options.l1) * _sum(nets.map(torch.abs)),
    }
    if task.graph is not None:
        own = (nets.tf**2 * task.graph.tf[:, None]).sum(dim=(1, 2))
        own = own + (nets.region**2 * task.graph.region[:, None]).sum(dim=(1, 2))
        shared = (torch.bmm(nets.tf, task.graph.link) * nets.region).sum(dim=(1, 2))
        found["laplacian"] = float(options.laplacian) * (own - 2 * shared)
    if task.anchor is not None and options.prior_term == "ewc":
        distance = nets.map(lambda now, then, weight: weight * (now - then) ** 2, task.anchor.nets, task.anchor.fisher)
        found["prior"] = options.pull * _sum(distance)
    elif task.anchor is not None:
        first = (nets.tf * task.anchor.nets.tf).sum(dim=(1, 2)) + (nets.region * task.anchor.nets.region).sum(
            dim=(1, 2)
        )
        found["prior"] = -options.pull * first
    return found


def _sum(nets: Nets) -> Float[Tensor, " genes"]:
    return torch.stack([part.reshape(part.shape[0], -1).sum(dim=1) for part in nets]).sum(dim=0)


def slope(nets: Nets, task: Task, options: LingerOptions) -> Nets:
    """Gradient of the loss, without graph of derivatives."""
    layers = evaluate(nets, task.x)
    out = gradients(nets, task.x, layers, (layers.out - task.y) * (2 / task.y.shape[1]))
    for part, now in zip(out, nets, strict=True):
        part.add_(now.sign(), alpha=float(options.l1))
    if task.graph is not None:
        double = 2 * float(options.laplacian)
        out.tf.addcmul_(nets.tf, task.graph.tf[:, None], value=double)
        out.tf.baddbmm_(nets.region, task.graph.link.mT, alpha=-double)
        out.region.addcmul_(nets.region, task.graph.region[:, None], value=double)
        out.region.baddbmm_(nets.tf, task.graph.link, alpha=-double)
    if task.anchor is not None and options.prior_term == "ewc":
        for part, now, then, weight in zip(out, nets, task.anchor.nets, task.anchor.fisher, strict=True):
            part.addcmul_(now - then, weight, value=2 * options.pull)
    elif task.anchor is not None:
        out.tf.sub_(task.anchor.nets.tf, alpha=options.pull)
        out.region.sub_(task.anchor.nets.region, alpha=options.pull)
    out.tf[task.closed[0], :, task.closed[1]] = 0
    return out


def train(nets: Nets, task: Task, options: LingerOptions) -> Nets:
    """Networks after `epochs` steps of Adam on all samples; the ones that are given are not changed."""
    with torch.no_grad():
        nets = nets.map(torch.clone)
        nets.tf[task.closed[0], :, task.closed[1]] = 0
        by_cpu = nets.tf.device.type == "cpu"  # a GPU's fused step wants gradients laid out like the weights
        optimiser = torch.optim.Adam(
            list(nets), lr=float(options.lr), weight_decay=float(options.weight_decay), fused=by_cpu
        )
        for _ in range(options.epochs):
            for part, by in zip(nets, slope(nets, task, options), strict=True):
                part.grad = by
            optimiser.step()
        for part in nets:
            part.grad = None
        if not all(bool(part.isfinite().all()) for part in nets):
            raise fail(
                FloatingPointError, "weights must be finite numbers.", f"others after {options.epochs} epochs.",
                f"give a smaller lr (now {options.lr:g}): options={{'lr': ...}}.",
            )  # fmt: skip
    return nets
