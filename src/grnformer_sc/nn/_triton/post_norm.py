"""What lies between the matrix products of a post-norm layer, on a GPU: each tensor is read and written once.

Dropout keeps no mask: whether an element stays follows from a seed and its place, in the gradient as before. Sums over rows
(gradients of biases and norms) are taken by each program over its rows, then over the programs: the same bits every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

ROWS = 4  # of a block
MAX_PROGRAMS = 1024


@triton.jit
def _kept(place, seed, p):
    """Whether an element stays (a hash of its place by two rounds of multiply and shift)."""
    x = place.to(tl.uint32) * 0x9E3779B1 + seed.to(tl.uint32)
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    x = x ^ (x >> 16)
    return (x >> 8).to(tl.float32) >= p * 16777216.0


@triton.jit(do_not_specialize=["seed"])
def add_norm(
    h, x, bias, gain, shift, total, out, stat, seed, p, eps, n_rows, dim: tl.constexpr, wide: tl.constexpr,
    rows: tl.constexpr,
):  # fmt: skip
    """Write `total`, h plus what stays of x + bias, and `out`, its layer norm; `stat` holds mean and 1 / deviation."""
    column = tl.arange(0, wide)
    inside = column < dim
    b = tl.load(bias + column, mask=inside, other=0.0)
    g = tl.load(gain + column, mask=inside, other=0.0)
    s = tl.load(shift + column, mask=inside, other=0.0)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    place = row[:, None].to(tl.int64) * dim + column[None, :]
    here = (row[:, None] < n_rows) & inside[None, :]
    told = tl.load(x + place, mask=here, other=0.0).to(tl.float32) + b[None, :]
    if p > 0:
        told = tl.where(_kept(place, seed, p), told / (1 - p), 0.0)
    summed = tl.load(h + place, mask=here, other=0.0).to(tl.float32) + told
    summed = summed.to(total.dtype.element_ty)
    tl.store(total + place, summed, mask=here)
    summed = tl.where(here, summed.to(tl.float32), 0.0)
    mean = tl.sum(summed, axis=1) / dim
    centred = tl.where(here, summed - mean[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, axis=1) / dim + eps)
    tl.store(stat + row, mean, mask=row < n_rows)
    tl.store(stat + n_rows + row, scale, mask=row < n_rows)
    normed = centred * scale[:, None] * g[None, :] + s[None, :]
    tl.store(out + place, normed.to(out.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["seed"])
def add_norm_gradient(
    grad, total, stat, gain, grad_h, grad_x, sums, seed, p, n_rows, n_blocks, dim: tl.constexpr, wide: tl.constexpr,
    rows: tl.constexpr,
):  # fmt: skip
    """Gradients of `h` and `x`; each program adds up those of gain, shift and bias over its rows (3 x programs x dim)."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    column = tl.arange(0, wide)
    inside = column < dim
    g = tl.load(gain + column, mask=inside, other=0.0)
    to_gain = tl.zeros((rows, wide), dtype=tl.float32)
    to_shift = tl.zeros((rows, wide), dtype=tl.float32)
    to_bias = tl.zeros((rows, wide), dtype=tl.float32)
    for block in range(program, n_blocks, programs):
        row = block * rows + tl.arange(0, rows)
        place = row[:, None].to(tl.int64) * dim + column[None, :]
        here = (row[:, None] < n_rows) & inside[None, :]
        mean = tl.load(stat + row, mask=row < n_rows, other=0.0)
        scale = tl.load(stat + n_rows + row, mask=row < n_rows, other=0.0)
        up = tl.load(grad + place, mask=here, other=0.0).to(tl.float32)
        unit = tl.load(total + place, mask=here, other=0.0).to(tl.float32)
        unit = tl.where(here, (unit - mean[:, None]) * scale[:, None], 0.0)
        to_gain += up * unit
        to_shift += up
        up = up * g[None, :]
        along, level = tl.sum(up * unit, axis=1) / dim, tl.sum(up, axis=1) / dim
        down = tl.where(here, (up - unit * along[:, None] - level[:, None]) * scale[:, None], 0.0)
        tl.store(grad_h + place, down.to(grad_h.dtype.element_ty), mask=here)
        if p > 0:
            down = tl.where(_kept(place, seed, p), down / (1 - p), 0.0)
            tl.store(grad_x + place, down.to(grad_x.dtype.element_ty), mask=here)
        to_bias += down
    tl.store(sums + program * dim + column, tl.sum(to_gain, axis=0), mask=inside)
    tl.store(sums + (programs + program) * dim + column, tl.sum(to_shift, axis=0), mask=inside)
    tl.store(sums + (2 * programs + program) * dim + column, tl.sum(to_bias, axis=0), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def relu_drop(x, bias, out, seed, p, n_rows, dim: tl.constexpr, wide: tl.constexpr, rows: tl.constexpr):
    """Write what stays of max(x + bias, 0)."""
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    column = tl.program_id(1) * wide + tl.arange(0, wide)
    place = row[:, None].to(tl.int64) * dim + column[None, :]
    here = (row[:, None] < n_rows) & (column[None, :] < dim)
    b = tl.load(bias + column, mask=column < dim, other=0.0)
    value = tl.maximum(tl.load(x + place, mask=here, other=0.0).to(tl.float32) + b[None, :], 0.0)
    if p > 0:
        value = tl.where(_kept(place, seed, p), value / (1 - p), 0.0)
    tl.store(out + place, value.to(out.dtype.element_ty), mask=here)


@triton.jit
def relu_drop_gradient(
    grad, out, grad_x, sums, p, n_rows, n_blocks, dim: tl.constexpr, wide: tl.constexpr, rows: tl.constexpr
):
    """Gradient of `x`, which passed where the output is above 0; each program adds it up over its rows (programs x dim)."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    column = tl.program_id(1) * wide + tl.arange(0, wide)
    to_bias = tl.zeros((rows, wide), dtype=tl.float32)
    for block in range(program, n_blocks, programs):
        row = block * rows + tl.arange(0, rows)
        place = row[:, None].to(tl.int64) * dim + column[None, :]
        here = (row[:, None] < n_rows) & (column[None, :] < dim)
        up = tl.load(grad + place, mask=here, other=0.0).to(tl.float32)
        passed = tl.load(out + place, mask=here, other=0.0).to(tl.float32) > 0
        down = tl.where(passed, up / (1 - p), 0.0)
        tl.store(grad_x + place, down.to(grad_x.dtype.element_ty), mask=here)
        to_bias += down
    tl.store(sums + program * dim + column, tl.sum(to_bias, axis=0), mask=column < dim)
