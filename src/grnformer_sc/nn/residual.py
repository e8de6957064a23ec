"""The end of a structure layer: layer norm, ReLU and residual, without the tensors in between on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ._kernels import residual as kernels
from .blocks import applied, has_kernels, in_blocks, n_blocks
from .post_norm import normed


def normed_residual(
    update: Float[Tensor, "graphs genes dim"], h: Float[Tensor, "graphs_or_1 genes dim"], norm: nn.LayerNorm
) -> Float[Tensor, "graphs genes dim"]:
    r"""Add :math:`\mathrm{ReLU}(\mathrm{LN}(update))` to `h`, which may come once for all graphs.

    On graphs of many cells the tensors in between cost more than the messages: half of a layer's time and two thirds of its
    memory (benchmarks/bench_message_passing.py).
    """
    if not has_kernels(update):
        return functional.relu(normed(norm, update)) + h.to(update.dtype)
    return applied(_NormedResidual, update.float(), h.float(), norm.weight, norm.bias, norm.eps)


class _NormedResidual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, gain: Tensor, shift: Tensor, eps: float) -> Tensor:
        x, h = x.contiguous(), h.contiguous()
        out, stat = torch.empty_like(x), np.empty((*x.shape[:2], 2), dtype=np.float32)
        given = *(t.detach().numpy() for t in (x, h, gain, shift)), np.float32(eps), out.numpy(), stat
        in_blocks(lambda _, start, stop: kernels.forward(start, stop, *given), x.shape[0])
        ctx.save_for_backward(x, gain, shift)
        ctx.stat, ctx.shared = stat, h.shape[0] < x.shape[0]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, shift = ctx.saved_tensors
        grad, grad_x = grads[0].contiguous(), torch.empty_like(x)
        sums = x.new_zeros(2, n_blocks(x.shape[0]), x.shape[2])
        given = *(t.detach().numpy() for t in (x, grad, gain, shift)), ctx.stat, grad_x.numpy()
        by_block = sums.numpy()

        def work(block: int, start: int, stop: int) -> None:
            kernels.backward(start, stop, *given, by_block[0, block], by_block[1, block])

        in_blocks(work, x.shape[0])
        grad_gain, grad_shift = sums.sum(dim=1)
        grad_h = grad.sum(dim=0, keepdim=True) if ctx.shared else grad
        return grad_x, grad_h, grad_gain, grad_shift, None
