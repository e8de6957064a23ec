"""Layers that may keep only their input and compute the rest anew in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Layer(nn.Module):
    """A layer that keeps its activations, or with `recompute` computes them anew: less memory, more time, the same bits."""

    recompute: bool = False

    def __call__(self, *args: Any) -> Any:
        """Run the layer."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(super().__call__, *args, use_reentrant=False)
        return super().__call__(*args)


def recompute_layers(net: nn.Module, *, on: bool) -> None:
    """Turn recomputation on or off in all layers of a network."""
    for part in net.modules():
        if isinstance(part, Layer):
            part.recompute = on
