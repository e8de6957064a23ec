"""Reading a trained network: embeddings of cells and genes, and the error of masked counts. Batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int

from .._core.rng import generator
from ..data.batch import Collator
from ..nn.batch import CellBatch
from ..nn.fusion import GRNFormerNet
from .assemble import expected_counts
from .config import ModelConfig
from .evaluation import DevianceSum


def batches(
    net: GRNFormerNet, collator: Collator, rows: Int[np.ndarray, " cells"], *, batch_size: int, root: int | None = None
) -> Iterator[tuple[np.ndarray, CellBatch]]:
    """Batches on the device of the net; masked (seeded by `root`) or, without a root, with nothing masked."""
    device = next(net.parameters()).device
    for start in range(0, rows.size, batch_size):
        index = rows[start : start + batch_size]
        rng = None if root is None else generator(root, "evaluate", start)
        yield index, collator(index, rng, mask=root is not None).to(device)


def exact(x: torch.Tensor) -> torch.Tensor:
    """The same in 64 bits, on the CPU where the device has no such numbers."""
    return (x.cpu() if x.device.type == "mps" else x).double()


@torch.inference_mode()
def embed_cells(
    net: GRNFormerNet, collator: Collator, rows: Int[np.ndarray, " cells"], *, batch_size: int
) -> Float32[np.ndarray, "cells dim"]:
    """Fused cell embeddings."""
    net.eval()
    parts = [
        net(batch, perturb=False).cells.float().cpu()
        for _, batch in batches(net, collator, rows, batch_size=batch_size)
    ]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def embed_genes(
    net: GRNFormerNet, collator: Collator, rows: Int[np.ndarray, " cells"], *, batch_size: int
) -> Float32[np.ndarray, "genes dim"]:
    """Mean fused embedding of each gene over the cells in which it is a token."""
    net.eval()
    total, seen, n_genes = torch.empty(0), torch.empty(0), collator.cells.n_genes
    for _, batch in batches(net, collator, rows, batch_size=batch_size):
        here = ~batch.padding
        tokens = exact(net(batch, perturb=False).genes[here])
        genes = batch.genes[here].to(tokens.device)
        if total.numel() == 0:
            total, seen = tokens.new_zeros(n_genes, tokens.shape[1]), tokens.new_zeros(n_genes)
        total.index_add_(0, genes, tokens)
        seen += torch.bincount(genes, minlength=n_genes)
    if total.numel() == 0:
        return np.empty((n_genes, 0), dtype=np.float32)
    return (total / seen.clamp(min=1)[:, None]).float().cpu().numpy()


@torch.inference_mode()
def evaluate(
    net: GRNFormerNet,
    collator: Collator,
    rows: Int[np.ndarray, " cells"],
    group_rates: Float64[np.ndarray, "groups genes"],
    *,
    config: ModelConfig,
    batch_size: int,
    root: int,
) -> pd.DataFrame:
    """Poisson deviance of masked counts: the model, gene rate and type rate, the latter two times the size factor."""
    net.eval()
    total = DevianceSum()
    for _, batch in batches(net, collator, rows, batch_size=batch_size, root=root):
        asked = batch.masked.cpu().numpy()
        genes, cell = batch.genes.cpu().numpy()[asked], np.nonzero(asked)[0]
        size = np.exp(batch.log_size.double().cpu().numpy())[cell] * collator.mean_size
        group = batch.group.cpu().numpy()[cell]
        predicted = expected_counts(config, net, net(batch, perturb=False), batch).cpu().numpy()[asked]
        total.add(
            batch.counts.cpu().numpy()[asked],
            {
                "model": predicted,
                "type rate": group_rates[group, genes] * size,
                "gene rate": collator.rates[genes] * size,
            },
        )
    return total.table()
