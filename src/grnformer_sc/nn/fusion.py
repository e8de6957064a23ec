"""GRNFormer: backbone, structure encoder, adapter and head, composed from built parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .._core.checks import fail
from .adapter import GraphAdapter
from .aside import aside, moment
from .backbones.base import Backbone, Encoded
from .batch import CellBatch
from .gated import GatedEdges
from .graph import StructureGraph
from .objective import EdgeHead, hold_out
from .perturb import PerturbEdges
from .rows import rows_of
from .structure import StructureEncoder

Scales = Literal["both", "cell", "type"]


@dataclass(frozen=True, slots=True)
class FusedOutput:
    """Embeddings of tokens and cells, the prediction of every token's gene, and what the backbone's further losses need."""

    genes: Float[Tensor, "cells tokens out_dim"]
    cells: Float[Tensor, "cells dim"]
    prediction: Float[Tensor, "cells tokens"]
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Structure:
    """The network part: shared network, its encoder, the adapter, and how edges are perturbed in training.

    `scales` names the networks that are embedded: those of cells, of their types, or both (summed). With an `edge_head`
    links of types are held out and predicted in training, with `two_views` edges are perturbed twice; both end in `extra`.
    """

    graph: StructureGraph
    encoder: StructureEncoder
    adapter: GraphAdapter
    perturb: PerturbEdges
    tf_keys_only: bool = False
    scales: Scales = "both"
    edge_head: EdgeHead | None = None
    two_views: bool = False


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
        self.scales: Scales = "both" if structure is None else structure.scales
        self.edge_head = None if structure is None else structure.edge_head
        self.two_views = structure is not None and structure.two_views
        self._types_of: tuple[tuple[int, ...], Tensor] | None = (
            None  # embedded networks of all types, and of which weights
        )

    def forward(
        self, batch: CellBatch, *, generator: torch.Generator | None = None, perturb: bool = False
    ) -> FusedOutput:
        """Embed and predict; `perturb` replaces edges (training) and needs a generator."""
        start = moment(batch.genes.device)
        x, rng = self._expression(batch), generator if perturb else None
        out = self._read(self._last(x, batch, rng, start), batch)
        return replace(out, extra={**out.extra, **self._network_terms(x, batch, rng)})

    def _last(
        self, x: Encoded, batch: CellBatch, generator: torch.Generator | None, start: torch.cuda.Event | None = None
    ) -> Encoded:
        """Run the layer that reads the network (embedded beside all since `start`), or the backbone's own."""
        if self.adapter is None:
            return self.backbone.last_layer(x)
        reads_expression = self.encoder is not None and self.encoder.read is not None
        with aside(None if reads_expression else start):
            keys, present = self.keys(batch, x, generator=generator)
        filled = self._structure[0].is_filled(tf_only=self.tf_keys_only)
        x = self._fuse(self.adapter, x, keys, None if filled else present)
        return self.backbone.feed_forward(x) if self.backbone.config.keep_ffn else x

    def _fuse(
        self,
        adapter: GraphAdapter,
        x: Encoded,
        keys: Float[Tensor, "cells keys dim"],
        present: Bool[Tensor, "cells keys"] | None,
    ) -> Encoded:
        return x.with_h(adapter(x.h, keys, present))

    def _read(self, x: Encoded, batch: CellBatch) -> FusedOutput:
        read = self.backbone.read(x, batch)
        return FusedOutput(read.tokens, read.cells, self.predict(read.tokens, batch), read.extra)

    def _network_terms(self, x: Encoded, batch: CellBatch, generator: torch.Generator | None) -> dict[str, Tensor]:
        """What the terms of the objective need that speak about the network: only in training."""
        terms = {}
        if generator is not None and self.two_views:
            terms["second"] = self._read(self._last(x, batch, generator), batch).prediction
        if generator is not None and self.edge_head is not None:
            terms["edge_scores"], terms["edge_labels"] = self.held_out_links(batch, self.edge_head, generator)
        return terms

    def held_out_links(
        self, batch: CellBatch, head: EdgeHead, generator: torch.Generator
    ) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Scores of links taken out of the networks of the batch's types and of pairs that are no links; 1 for links."""
        graph, encoder = self._structure
        types = torch.unique(batch.group)
        edges, links, others = hold_out(GatedEdges.of(graph, types), types, generator)
        h = encoder(encoder.features(self.backbone.gene_embedding(), graph.is_tf), edges, scale="type")
        scores = head(h, links.extended(others))
        return scores, torch.cat([torch.ones_like(links.weight), torch.zeros_like(others.weight)])

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Prediction of every token's gene, by the head or by the backbone itself."""
        if self.head is None:
            return self.backbone.predict(tokens)
        return self.head(tokens, batch.genes, batch.log_size)

    def keys(
        self, batch: CellBatch, x: Encoded, *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "cells keys dim"], Bool[Tensor, "cells keys"]]:
        """Structure embeddings of the nodes of each cell's type network (see `key_index`), and which places are filled."""
        index, present = self.key_index(batch)
        parts = []
        if self.scales != "type":
            parts.append(_nodes(self.embed_cells(batch, x, generator=generator), index))
        if self.scales != "cell":
            types, place = torch.unique(batch.group, return_inverse=True)
            own = self._structure[0].keys(tf_only=self.tf_keys_only)[0][types]
            parts.append(rows_of(_nodes(self.embed_types(types, generator=generator), own), place))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1], present

    def key_index(self, batch: CellBatch) -> tuple[Int[Tensor, "cells keys"], Bool[Tensor, "cells keys"]]:
        """Gene of every key of every cell, and which places are filled; the sink is not among them."""
        index, present = self._structure[0].keys(tf_only=self.tf_keys_only)
        return index[batch.group], present[batch.group]

    def embed_cells(
        self, batch: CellBatch, x: Encoded, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "cells genes dim"]:
        """Embed the networks of the cells."""
        graph, encoder = self._structure
        edges = GatedEdges.of(graph, batch.group, batch.bits)
        if generator is not None:
            edges = self.perturb(edges, batch.group, batch.visible, generator)
        h = encoder.features(self.backbone.gene_embedding(), graph.is_tf)
        if encoder.read is not None:
            h = encoder.with_expression(h, *self._shown(batch, x))
        return encoder(h, edges, scale="cell")

    def embed_types(
        self, types: Int[Tensor, " types"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "types genes dim"]:
        """Embed the networks of types; without gradients those of all types are kept until a weight changes."""
        graph, encoder = self._structure
        if generator is None and not self.training and not torch.is_grad_enabled():
            state = _state([*encoder.parameters(), self.backbone.gene_embedding()])
            if self._types_of is None or self._types_of[0] != state:
                every = torch.arange(graph.n_groups, device=types.device)
                self._types_of = state, self._embed_types(every, None)
            return self._types_of[1][types]
        return self._embed_types(types, generator)

    def _embed_types(self, types: Tensor, generator: torch.Generator | None) -> Tensor:
        graph, encoder = self._structure
        edges = GatedEdges.of(graph, types)
        if generator is not None:  # co-expression was measured over all cells of the type: all its pairs may come in
            edges = self.perturb(
                edges, types, types.new_ones(types.numel(), graph.n_genes, dtype=torch.bool), generator
            )
        return encoder(encoder.features(self.backbone.gene_embedding(), graph.is_tf), edges, scale="type")

    def _shown(self, batch: CellBatch, x: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """Expression embeddings of the tokens, their genes, and which of them are visible and have a place of their own."""
        place = self.backbone.places(batch)
        shown = ~batch.masked & ~batch.padding & (place >= 0)
        index = place.clamp(min=0)[..., None].expand(-1, -1, x.h.shape[2])
        return torch.gather(x.h, 1, index), batch.genes, shown

    @property
    def _structure(self) -> tuple[StructureGraph, StructureEncoder]:
        if self.graph is None or self.encoder is None:
            raise fail(
                ValueError, "this step needs a network.", "a model without a structure part.",
                "build it with structure=Structure(...).",
            )  # fmt: skip
        return self.graph, self.encoder

    def attention(self, batch: CellBatch) -> Iterator[tuple[slice, Float[Tensor, "cells queries keys_and_1"]]]:
        """Attention of the backbone's places on the genes of `key_index` and the sink, in query chunks.

        `backbone.places` tells which place stands for a token.
        """
        if self.adapter is None:
            raise fail(
                ValueError, "attention on genes needs a network.", "a model without a structure part.",
                "build it with structure=Structure(...).",
            )  # fmt: skip
        x = self._expression(batch)
        yield from self.adapter.attention(x.h, *self.keys(batch, x))

    def _expression(self, batch: CellBatch) -> Encoded:
        """Expression embeddings before the layer that the adapter replaces."""
        return self.backbone.encode(self.backbone.embed(batch, self._silent(batch)))

    def _silent(self, batch: CellBatch) -> Bool[Tensor, "cells tokens"]:
        return batch.padding


def _state(weights: list[Tensor]) -> tuple[int, ...]:
    """Changes when a weight is replaced or changed in place."""
    return tuple(number for w in weights for number in (w.data_ptr(), w._version))  # noqa: SLF001


def _nodes(h: Float[Tensor, "graphs genes dim"], index: Int[Tensor, "graphs keys"]) -> Float[Tensor, "graphs keys dim"]:
    return torch.gather(h, 1, index[:, :, None].expand(-1, -1, h.shape[2]))
