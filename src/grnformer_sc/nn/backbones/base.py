"""The protocol of an expression backbone, and the registry that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..._core.checks import fail, listing
from ..batch import CellBatch

B = TypeVar("B", bound=type[nn.Module])
_REGISTRY: dict[str, type[nn.Module]] = {}


@runtime_checkable
class Backbone(Protocol):
    """Embeds the tokens of cells, CLS first, and encodes all layers but the one that the adapter replaces."""

    dim: int

    def embed(self, batch: CellBatch) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Embed CLS and tokens."""

    def encode(
        self, h: Float[Tensor, "cells tokens_and_1 dim"], padding: Bool[Tensor, "cells tokens"]
    ) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Run all layers but the last."""

    def last_layer(
        self, h: Float[Tensor, "cells tokens_and_1 dim"], padding: Bool[Tensor, "cells tokens"]
    ) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Run the last layer, which a fused model replaces."""

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene of the vocabulary."""


def register_backbone(name: str) -> Callable[[B], B]:
    """Make a backbone class available by name."""

    def register(cls: B) -> B:
        _REGISTRY[name] = cls
        return cls

    return register


def get_backbone(name: str) -> type[nn.Module]:
    """Class of a registered backbone."""
    if name not in _REGISTRY:
        raise fail(
            KeyError, "a backbone must be registered.", f"{name!r}; registered {listing(sorted(_REGISTRY))}.",
            "choose one of them or register yours with register_backbone.",
        )  # fmt: skip
    return _REGISTRY[name]
