"""GRNFormer: backbone, structure encoder, adapter and head, composed from built parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .adapter import GraphAdapter
from .backbones.base import Backbone, Encoded
from .batch import CellBatch
from .graph import StructureGraph
from .perturb import PerturbEdges
from .structure import StructureEncoder


@dataclass(frozen=True, slots=True)
class FusedOutput:
    """Embeddings of tokens and cells, the prediction of every token's gene, and what the backbone's further losses need."""

    genes: Float[Tensor, "cells tokens out_dim"]
    cells: Float[Tensor, "cells dim"]
    prediction: Float[Tensor, "cells tokens"]
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Structure:
    """The network part: shared network, its encoder, the adapter, and how edges are perturbed in training."""

    graph: StructureGraph
    encoder: StructureEncoder
    adapter: GraphAdapter
    perturb: PerturbEdges
    tf_keys_only: bool = False


class GRNFormerNet(nn.Module):
    """A backbone whose last layer reads the cell's gene regulatory network (Qiu et al. 2025).

    Without `structure` the backbone keeps its own last layer: the same model without a network, the control. Without
    `head` the backbone predicts values on its own scale.
    """

    def __init__(self, backbone: Backbone, head: nn.Module | None, structure: Structure | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.graph = None if structure is None else structure.graph
        self.encoder = None if structure is None else structure.encoder
        self.adapter = None if structure is None else structure.adapter
        self.perturb = PerturbEdges(mode="none") if structure is None else structure.perturb
        self.tf_keys_only = structure is not None and structure.tf_keys_only

    def forward(
        self, batch: CellBatch, *, generator: torch.Generator | None = None, perturb: bool = False
    ) -> FusedOutput:
        """Embed and predict; `perturb` replaces edges (training) and needs a generator."""
        x = self._expression(batch)
        if self.adapter is None:
            x = self.backbone.last_layer(x)
        else:
            keys, present = self.keys(batch, generator=generator if perturb else None)
            x = x.with_h(self.adapter(x.h, keys, present))
        read = self.backbone.read(x, batch)
        return FusedOutput(read.tokens, read.cells, self.predict(read.tokens, batch), read.extra)

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Prediction of every token's gene, by the head or by the backbone itself."""
        if self.head is None:
            return self.backbone.predict(tokens)
        return self.head(tokens, batch.genes, batch.log_size)

    def keys(
        self, batch: CellBatch, *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "cells keys dim"], Tensor]:
        """Structure embeddings of the genes of each cell's type network: type network and cell network, summed.

        Both scales are one batch of graphs for the encoder: the cells, then each type that occurs.
        """
        if self.graph is None or self.encoder is None:
            msg = "this network was built without a structure part; build it with structure=Structure(...)."
            raise ValueError(msg)
        types, place = torch.unique(batch.group, return_inverse=True)
        group = torch.cat([batch.group, types])
        on = torch.cat([batch.bits, batch.bits.new_ones(types.numel(), batch.bits.shape[1])])
        edges = self.graph.edges(group, on)
        if generator is not None:
            shown = torch.cat([batch.visible, batch.visible.new_ones(types.numel(), batch.visible.shape[1])])
            edges = self.perturb(edges, self.graph, group, shown, generator)
        h = self.encoder(self.backbone.gene_embedding(), self.graph.is_tf, edges, group.numel())
        index, present = self.graph.key_index[group], self.graph.key_present[batch.group]
        h = torch.gather(h, 1, index[:, :, None].expand(-1, -1, h.shape[2]))
        n_cells = batch.group.numel()
        if self.tf_keys_only:
            present = present & self.graph.is_tf[index[:n_cells]]
        return h[:n_cells] + h[n_cells:][place], present

    def attention(self, batch: CellBatch) -> Iterator[tuple[slice, Float[Tensor, "cells queries keys_and_1"]]]:
        """Attention of the backbone's places on the genes of `graph.key_index[group]` and the sink, in query chunks.

        `backbone.places` tells which place stands for a token.
        """
        if self.adapter is None:
            msg = "this network was built without a structure part and has no attention on genes."
            raise ValueError(msg)
        yield from self.adapter.attention(self._expression(batch).h, *self.keys(batch))

    def _expression(self, batch: CellBatch) -> Encoded:
        """Expression embeddings before the layer that the adapter replaces."""
        return self.backbone.encode(self.backbone.embed(batch, self._silent(batch)))

    def _silent(self, batch: CellBatch) -> Bool[Tensor, "cells tokens"]:
        return batch.padding
