"""Weighted sums of rows, bag by bag: what the kernels of the CPU do along edges, for other devices."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from .blocks import applied, on_gpu, power_of_two


def bag_sums(
    source: Float[Tensor, "rows dim"],
    row: Int[Tensor, " items"],
    bag: Int[Tensor, " items"],
    weight: Float[Tensor, " items"],
    n_bags: int,
) -> Float[Tensor, "bags dim"]:
    """Sum of the weighted rows of every bag: item i adds `weight[i]` times row `row[i]` to bag `bag[i]`.

    The sums have the type of `source` and are taken in 32 bits. Nothing of the size items x dim is made, and each bag is
    added up in the order of its items: the same bits every time, which sums by atomic additions would not give. No gradient
    goes to the weights.
    """
    return applied(_BagSums, source, row, bag, weight, n_bags)


class _BagSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, row: Tensor, bag: Tensor, weight: Tensor, n_bags: int) -> Tensor:
        ctx.save_for_backward(row, bag, weight)
        ctx.n_rows = source.shape[0]
        return _sums(source, row, bag, weight, n_bags)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        row, bag, weight = ctx.saved_tensors
        return _sums(grads[0], bag, row, weight, ctx.n_rows), None, None, None, None


def _sums(source: Tensor, row: Tensor, bag: Tensor, weight: Tensor, n_bags: int) -> Tensor:
    source, dim = source.detach().contiguous(), source.shape[1]
    if source.device.type == "mps":  # has no bags with weights
        return source.new_zeros(n_bags, dim).index_add_(0, bag, source[row] * weight[:, None])
    bag, order = torch.sort(bag.int(), stable=True)  # half the passes of 64 bits
    row, weight = row[order], weight[order]
    first = torch.searchsorted(bag, torch.arange(n_bags + 1, device=bag.device, dtype=torch.int32))
    if on_gpu(source) and n_bags:
        from ._triton.bags import bag_sums as kernel

        out, wide = source.new_empty(n_bags, dim), power_of_two(dim)
        kernel[(n_bags,)](source, row, weight, first, out, dim, wide, num_warps=min(8, max(1, wide // 256)))
        return out
    weight = weight.to(source.dtype)
    return functional.embedding_bag(row, source, first, mode="sum", per_sample_weights=weight, include_last_offset=True)
