"""The steps of a post-norm layer after its matrix products: on a GPU by kernels that keep nothing in between."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .blocks import applied, on_gpu, power_of_two

MAX_DIM = 4096  # of the kernels: a program holds whole rows


def add_norm(
    h: Float[Tensor, "cells places dim"],
    x: Float[Tensor, "cells places in_dim"],
    linear: nn.Linear,
    norm: nn.LayerNorm,
    dropout: nn.Dropout,
) -> Float[Tensor, "cells places dim"]:
    """Residual and norm, ``norm(h + dropout(linear(x)))``, in the type of `h`."""
    if not on_gpu(h) or linear.out_features > MAX_DIM:
        return normed(norm, h + dropout(linear(x)))
    told = functional.linear(x, linear.weight)
    return applied(_AddNorm, h, told.to(h.dtype), linear.bias, norm.weight, norm.bias, norm.eps, *_drawn(dropout))


def relu_drop(
    x: Float[Tensor, "cells places in_dim"], linear: nn.Linear, dropout: nn.Dropout
) -> Float[Tensor, "cells places dim"]:
    """Activation, ``dropout(relu(linear(x)))``."""
    if not on_gpu(x):
        return dropout(functional.relu(linear(x)))
    return applied(_ReluDrop, functional.linear(x, linear.weight), linear.bias, *_drawn(dropout))


def normed(norm: nn.LayerNorm, x: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
    """Layer norm in the type of `x` (autocast would answer in 32 bits); its sums are taken in 32 bits either way."""
    if x.dtype == norm.weight.dtype:
        return norm(x)
    with torch.autocast(x.device.type, enabled=False):
        return functional.layer_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)


def _drawn(dropout: nn.Dropout) -> tuple[int, float]:
    """Seed and share of a dropout; the seed comes from torch's generator, like the masks of torch."""
    if not dropout.training or dropout.p == 0:
        return 0, 0.0
    return int(torch.randint(2**31, ())), dropout.p


def _kernels() -> ModuleType:
    from ._triton import post_norm

    return post_norm


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, x: Tensor, *rest: Any) -> Tensor:
        bias, gain, shift, eps, seed, p = rest
        kernels, (h, x), dim = _kernels(), (h.contiguous(), x.contiguous()), h.shape[-1]
        n_rows, wide = h.numel() // dim, power_of_two(dim)
        total, out, stat = torch.empty_like(h), torch.empty_like(h), gain.new_empty(2, n_rows, dtype=torch.float32)
        if n_rows:
            kernels.add_norm[(_blocks(n_rows, kernels.ROWS),)](
                h, x, bias, gain, shift, total, out, stat, seed, p, eps, n_rows, dim, wide, kernels.ROWS
            )
        ctx.save_for_backward(total, stat, gain)
        ctx.drawn = seed, p
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (total, stat, gain), (seed, p), kernels = ctx.saved_tensors, ctx.drawn, _kernels()
        grad, (n_rows, dim) = grads[0].contiguous(), (stat.shape[1], total.shape[-1])
        grad_h = torch.empty_like(total)
        grad_x = torch.empty_like(total) if p else grad_h
        blocks = _blocks(n_rows, kernels.ROWS)
        sums = gain.new_zeros(3, max(1, min(blocks, kernels.MAX_PROGRAMS)), dim, dtype=torch.float32)
        if n_rows:
            kernels.add_norm_gradient[(sums.shape[1],)](
                grad,
                total,
                stat,
                gain,
                grad_h,
                grad_x,
                sums,
                seed,
                p,
                n_rows,
                blocks,
                dim,
                power_of_two(dim),
                kernels.ROWS,
            )
        to_gain, to_shift, to_bias = sums.sum(dim=1)
        return grad_h, grad_x, to_bias, to_gain, to_shift, None, None, None


class _ReluDrop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, seed: int, p: float) -> Tensor:
        kernels, x, dim = _kernels(), x.contiguous(), x.shape[-1]
        n_rows, wide, out = x.numel() // dim, _part(dim), torch.empty_like(x)
        if n_rows:
            kernels.relu_drop[(_blocks(n_rows, kernels.ROWS), _blocks(dim, wide))](
                x, bias, out, seed, p, n_rows, dim, wide, kernels.ROWS
            )
        ctx.save_for_backward(out)
        ctx.p = p
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (out,), kernels, grad = ctx.saved_tensors, _kernels(), grads[0].contiguous()
        dim = out.shape[-1]
        n_rows, wide, down = out.numel() // dim, _part(dim), torch.empty_like(out)
        blocks = _blocks(n_rows, kernels.ROWS)
        sums = out.new_zeros(max(1, min(blocks, kernels.MAX_PROGRAMS)), dim, dtype=torch.float32)
        if n_rows:
            kernels.relu_drop_gradient[(sums.shape[0], _blocks(dim, wide))](
                grad, out, down, sums, ctx.p, n_rows, blocks, dim, wide, kernels.ROWS
            )
        return down, sums.sum(dim=0), None, None


def _part(dim: int) -> int:
    """Columns that a program takes where it need not hold whole rows."""
    return min(512, power_of_two(dim))


def _blocks(n: int, size: int) -> int:
    return -(-n // size)
