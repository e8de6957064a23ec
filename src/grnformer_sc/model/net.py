"""The network that is trained: GRNFormer's parts plus a summary of the cell that starts from training cells."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..nn.adapter import GraphAdapter
from ..nn.backbones.base import Backbone, Encoded
from ..nn.batch import CellBatch
from ..nn.fusion import FusedOutput, GRNFormerNet, Structure
from ..nn.rows import rows_of


class CellSummaryNet(GRNFormerNet):
    r"""GRNFormer whose cell embedding adds a summary of the visible genes, and whose cells predict genes.

    The prediction of gene g in a cell is :math:`head(h_g) + \langle u_g, W z\rangle` with z the cell embedding: scGPT's
    gene prediction from the cell (Cui et al. 2024) in one pass. `u` starts at zero, so an untrained network predicts
    the baseline of its head.

    The first columns of the gene embeddings start as principal component loadings of the training cells. From random
    ones, 2,000 cells are too few to learn which genes go together: on the mouse cortex the held-out deviance stays at
    that of the gene rates for hundreds of steps.

    Parameters
    ----------
    backbone, head, structure
        Parts of `GRNFormerNet`.
    loadings
        Principal component loadings, components x genes; None leaves the gene embeddings as they are (published ones).
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module | None,
        structure: Structure | None,
        *,
        loadings: Float[Tensor, "comps genes"] | None,
    ) -> None:
        super().__init__(backbone, head, structure)
        n_genes, dim = backbone.gene_embedding().shape
        self.summary = nn.LayerNorm(dim)
        self.per_gene = nn.Parameter(torch.zeros(n_genes, dim))
        self.from_cell = nn.Linear(dim, dim)
        if loadings is None:
            return
        with torch.no_grad():
            width = min(dim, loadings.shape[0])
            start = backbone.gene_embedding()
            start.mul_(0.1)
            start[:, :width] += loadings[:width].T * n_genes**0.5  # loadings have unit length: unit variance per column

    def _read(self, x: Encoded, batch: CellBatch) -> FusedOutput:
        """Read out, with the summary in the cell and the cell in the predictions."""
        out = super()._read(x, batch)
        cells = out.cells + self._summary(batch, self._silent(batch))
        from_cell = torch.einsum("ctd,cd->ct", rows_of(self.per_gene, batch.genes), self.from_cell(cells))
        return replace(out, cells=cells, prediction=out.prediction + from_cell)

    def _fuse(
        self,
        adapter: GraphAdapter,
        x: Encoded,
        keys: Float[Tensor, "cells keys dim"],
        present: Bool[Tensor, "cells keys"] | None,
    ) -> Encoded:
        """Read the network. In training only the places do that the loss looks at."""
        h, (first, last) = x.h, x.unread
        if not self.training or first == last:
            return x.with_h(adapter(h, keys, present))
        read = adapter(torch.cat([h[:, :first], h[:, last:]], dim=1), keys, present)
        return x.with_h(torch.cat([read[:, :first], h[:, first:last], read[:, first:]], dim=1))

    def _silent(self, batch: CellBatch) -> Bool[Tensor, "cells tokens"]:
        """Masked genes show nothing, so nobody attends to them."""
        return batch.padding | batch.masked

    def _summary(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Float[Tensor, "cells dim"]:
        """Mean embedding of the visible genes weighted by their values: close to the cell's principal components."""
        weight = torch.log1p(self.backbone.values(batch.values, batch) / self.backbone.typical) * ~silent
        total = torch.einsum("ct,ctd->cd", weight, rows_of(self.backbone.gene_embedding(), batch.genes))
        return self.summary(total / (~silent).sum(dim=1, keepdim=True).clamp(min=1))
