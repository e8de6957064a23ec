"""Encoders of foundation models as backbones: one way from a batch of cells through any of them, layer by layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail
from ..backbones.base import Backbone, BackboneConfig, Encoded, Read, built, first_query
from ..backbones.published import Published
from ..backbones.scgpt import ValueDecoder
from ..batch import CellBatch
from ..values import count_of_log, log_of
from .base import FoundationNet, attend


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundationBackboneConfig(BackboneConfig):
    """Settings that the encoders of foundation models share.

    Attributes
    ----------
    hidden
        Width of the feed-forward part; None takes twice `dim`.
    """

    hidden: int | None = None

    @property
    def width(self) -> int:
        """Width of the feed-forward part."""
        return 2 * self.dim if self.hidden is None else self.hidden


@dataclass(frozen=True, slots=True)
class Parts:
    """Input of the first layer.

    Attributes
    ----------
    cell
        Places that stand for the cell, then those that end a sequence.
    genes
        Tokens of the batch in their order.
    left_out
        Tokens that nobody attends to, because the encoder has no place for them.
    """

    cell: Float[Tensor, "cells front dim"]
    genes: Float[Tensor, "cells tokens dim"]
    left_out: Bool[Tensor, "cells tokens"] | None = None


class FoundationBackbone(Backbone):
    """Backbone with the layers of a `FoundationNet`.

    A subclass says how a batch becomes the input of the first layer (`parts`): how values enter, how masked genes are
    asked for, which places stand for the cell. Masked counts are predicted as log counts per 10,000 by a decoder like
    scGPT's. The encoders have no dropout of their own; it is put on the input of the first layer and on what is heard.

    Attributes
    ----------
    net
        The encoder; its tokens are the genes of the data, then those of `own_rows`.
    front, ends
        Places that stand for the cell; places after them that end a sequence. Both come before the genes.
    """

    config: FoundationBackboneConfig
    net: FoundationNet
    front: int = 0
    ends: int = 0
    typical = 2.0

    def __init__(self, config: FoundationBackboneConfig, net: FoundationNet) -> None:
        super().__init__(config)
        self.net = net
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = self._decoder()

    def _decoder(self) -> nn.Module | None:
        return ValueDecoder(self.dim) if self.config.value_head else None

    @abstractmethod
    def parts(self, batch: CellBatch) -> Parts:
        """Embed the cell and its tokens; counts of masked genes enter nowhere."""

    def embed(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Encoded:
        """Places of the cell, then the tokens."""
        parts, before, first = self.parts(batch), self.front + self.ends, first_query(batch)
        silent = silent if parts.left_out is None else silent | parts.left_out
        h = self.dropout(torch.cat([parts.cell, parts.genes], dim=1))
        unread = (self.front, before + first) if self.front and first < batch.genes.shape[1] else (0, 0)
        return Encoded(h, functional.pad(silent, (before, 0)), unread)

    def encode(self, x: Encoded) -> Encoded:
        """Run all layers but the last."""
        return self._run(x, range(self.config.layers - 1))

    def last_layer(self, x: Encoded) -> Encoded:
        """Run the last layer."""
        return self._run(x, [self.config.layers - 1])

    def _run(self, x: Encoded, numbers: Iterable[int]) -> Encoded:
        """Run some layers; a cell that shows nothing hears nothing."""
        h, nothing = x.h, x.silent.all(dim=1)
        mask = (~x.silent | nothing[:, None])[:, None, None, :]
        for number in numbers:
            told, _ = attend(*self.net.projections(number, h), mask)
            h = self.net.after_attention(number, h, self.dropout(told * ~nothing[:, None, None]))
        return x.with_h(h)

    def read(self, x: Encoded, batch: CellBatch) -> Read:
        """Tokens after what follows the last layer; the cell is the mean of its places, or of its visible genes."""
        h, before = self.net.finish(x.h), self.front + self.ends
        if self.front:
            return Read(h[:, before:], h[:, : self.front].mean(dim=1))
        tokens, shown = h[:, before:], (~x.silent[:, before:] & ~batch.masked)[..., None]
        return Read(tokens, (tokens * shown).sum(dim=1) / shown.sum(dim=1).clamp(min=1))

    def places(self, batch: CellBatch) -> Int[Tensor, "cells tokens"]:
        """Tokens follow the places of the cell in their order."""
        n_tokens, before = batch.genes.shape[1], self.front + self.ends
        return torch.arange(before, before + n_tokens, device=batch.genes.device).expand(batch.genes.shape)

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predicted log counts per 10,000."""
        return built(self.decoder, "value_head")(tokens)

    def values(self, counts: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Log counts per 10,000."""
        return log_of(counts, batch.depth[:, 0])

    def counts(self, values: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts that values stand for."""
        return count_of_log(values, batch.depth[:, 0])

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene, as the table of tokens holds it."""
        return self.get_parameter(self.gene_table)[: self.config.n_genes]

    @classmethod
    def read_published(cls, path: Path, *, strict: bool = True, **options: Any) -> Published[Backbone]:
        """Published files are read by `grs.model.load_backbone`, with their dictionaries."""
        raise fail(
            ValueError, f"{cls.__name__} is made from a model that was read.", f"{path}.",
            "call grs.model.load_backbone(path).",
        )  # fmt: skip

    def take(
        self, net: FoundationNet, tokens: Int64[np.ndarray, " genes"], own: Sequence[int] = ()
    ) -> FoundationBackbone:
        """Take the weights of an encoder over another vocabulary: rows of the genes, then of the backbone's own tokens."""
        wanted = self.state_dict()
        self.load_state_dict({**wanted, **self._weights(net, torch.from_numpy(tokens), list(own))})
        return self.eval()

    def _weights(self, net: FoundationNet, tokens: Tensor, own: list[int]) -> dict[str, Tensor]:
        """Weights by their names here."""
        wanted = self.state_dict()
        state = {f"net.{name}": value for name, value in net.state_dict().items() if f"net.{name}" in wanted}
        state[self.gene_table] = state[self.gene_table][torch.cat([tokens, tokens.new_tensor(own)])]
        return state | {name: state[name][tokens] for name in self.gene_rows if name in state}
