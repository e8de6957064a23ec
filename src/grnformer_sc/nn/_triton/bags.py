"""Weighted sums of rows, bag by bag, on a GPU."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def bag_sums(source, row, weight, first, out, dim: tl.constexpr, wide: tl.constexpr):
    """Write the sum of the weighted rows of a bag, the items `first[bag]` to `first[bag + 1]`."""
    bag = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, wide)
    total = tl.zeros((wide,), dtype=tl.float32)
    for item in range(tl.load(first + bag), tl.load(first + bag + 1)):
        place = tl.load(row + item) * dim + column
        total += tl.load(weight + item) * tl.load(source + place, mask=column < dim, other=0.0).to(tl.float32)
    tl.store(out + bag * dim + column, total.to(out.dtype.element_ty), mask=column < dim)
