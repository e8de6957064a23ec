"""What the network sees of a batch of cells."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CellBatch:
    """Tokens of a batch of cells; only the loss may read `counts`.

    Attributes
    ----------
    genes
        Gene index of every token (0 where `padding`).
    values
        Count of a visible token (0 where masked or `padding`); every backbone has its own scale for it.
    masked, padding
        Token is a masked gene; token is filling.
    counts
        Raw counts; targets, read only where `masked`.
    log_size
        Log size factor of the cell, from unmasked genes only.
    group
        Cell type of the cell.
    bits
        eRegulons that are on in the cell (gate AND kept by its type).
    visible
        Gene is expressed and unmasked in the cell.
    shown
        Gene is measured and unmasked in the cell: its count is known, zero or not.
    edges
        Quantiles of the visible non-zero counts of the cell (scGPT's bins).
    depth
        Log10 of the total count of the cell, estimated from unmasked genes: before and after thinning.
    """

    genes: Int[Tensor, "cells tokens"]
    values: Float[Tensor, "cells tokens"]
    masked: Bool[Tensor, "cells tokens"]
    padding: Bool[Tensor, "cells tokens"]
    counts: Float[Tensor, "cells tokens"]
    log_size: Float[Tensor, " cells"]
    group: Int[Tensor, " cells"]
    bits: Bool[Tensor, "cells eregulons"]
    visible: Bool[Tensor, "cells genes"]
    shown: Bool[Tensor, "cells genes"]
    edges: Float[Tensor, "cells edges"]
    depth: Float[Tensor, "cells 2"]

    def to(self, device: torch.device | str) -> CellBatch:
        """Move all tensors."""
        return CellBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})
