"""Scales on which expression models read and predict counts: quantile bins of a cell, and log counts per 10,000."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PER = 1e4  # counts per cell of the log scale


def bin_of(counts: Float[Tensor, "cells tokens"], edges: Float[Tensor, "cells edges"]) -> Float[Tensor, "cells tokens"]:
    """Bin of a count among the quantile edges of its cell: 0 for no count, else 1 to the number of edges.

    scGPT gives a value that equals several edges a random bin among them; here it gets their mean, which needs no seed.
    Counts below or above all edges get the first or last bin.
    """
    counts = counts.contiguous()
    below = torch.searchsorted(edges, counts)
    up_to = torch.searchsorted(edges, counts, right=True)
    middle = (below + up_to + (up_to > below)).to(counts.dtype) / 2
    return torch.where(counts > 0, middle.clamp(1, edges.shape[1]), torch.zeros_like(counts))


def count_of_bin(
    bins: Float[Tensor, "cells tokens"], edges: Float[Tensor, "cells edges"]
) -> Float[Tensor, "cells tokens"]:
    """Count that a bin stands for, linear between edges; the way back from `bin_of`."""
    n_edges = edges.shape[1]
    levels = torch.nn.functional.pad(edges, (1, 0))
    bins = bins.clamp(0, n_edges)
    low = bins.floor().long().clamp(max=n_edges - 1)
    left, right = torch.gather(levels, 1, low), torch.gather(levels, 1, low + 1)
    return left + (right - left) * (bins - low)


def log_of(
    counts: Float[Tensor, "cells tokens"], log10_total: Float[Tensor, " cells"]
) -> Float[Tensor, "cells tokens"]:
    """Counts per 10,000, log1p, for a total that is given."""
    return torch.log1p(counts * (PER / 10**log10_total)[:, None])


def count_of_log(
    values: Float[Tensor, "cells tokens"], log10_total: Float[Tensor, " cells"]
) -> Float[Tensor, "cells tokens"]:
    """Count that a value on the log scale stands for; the way back from `log_of`."""
    return values.expm1().clamp(min=0) * (10**log10_total / PER)[:, None]
