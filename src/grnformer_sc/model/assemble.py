"""The network built from its parts, with seeded weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._core.rng import seed_for
from ..data.graph import structure_graph
from ..grn.network import Network
from ..nn.adapter import GraphAdapter
from ..nn.backbones import Backbone, ScGPTConfig, get_backbone
from ..nn.batch import CellBatch
from ..nn.fusion import FusedOutput, Structure
from ..nn.heads import BinHead, CountHead
from ..nn.losses import masked_loss
from ..nn.perturb import PerturbEdges
from ..nn.structure import StructureEncoder
from .config import ModelConfig
from .context import Context
from .net import CellSummaryNet


def build_net(config: ModelConfig, context: Context, network: Network, genes: pd.Index, *, root: int) -> CellSummaryNet:
    """Build the network; the initial weights follow from `root` and leave torch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(root, "weights") % 2**63)
        sizes = ScGPTConfig(
            n_genes=genes.size,
            dim=config.dim,
            layers=config.layers + 1,  # the adapter, or without a network the backbone's own layer, is the last one
            heads=config.heads,
            hidden=2 * config.dim,
            dropout=config.dropout,
            keep_last=not config.use_grn,
        )
        backbone = cast("Backbone", get_backbone(config.backbone)(sizes))
        log_rate = torch.from_numpy(np.log(context.rates * context.mean_size))
        head = CountHead(config.dim, log_rate) if config.loss == "poisson" else BinHead(config.dim)
        structure = _structure(config, context, network, genes) if config.use_grn else None
        return CellSummaryNet(backbone, head, structure, loadings=torch.from_numpy(context.reference.loadings))


def _structure(config: ModelConfig, context: Context, network: Network, genes: pd.Index) -> Structure:
    return Structure(
        graph=structure_graph(network, genes, context.partners),
        encoder=StructureEncoder(config.dim, config.dim, layers=config.structure_layers, dropout=config.dropout),
        adapter=GraphAdapter(config.dim, config.heads, beta=config.beta, dropout=config.dropout),
        perturb=PerturbEdges(alpha=config.alpha, mode=config.perturb),
        tf_keys_only=config.keys == "tf",
    )


def build_loss(config: ModelConfig) -> Callable[[FusedOutput, CellBatch], Tensor]:
    """Loss of an output given its batch."""

    def loss(out: FusedOutput, batch: CellBatch) -> Tensor:
        return masked_loss(out.prediction, batch, loss=config.loss)

    return loss


def expected_counts(config: ModelConfig, out: FusedOutput, batch: CellBatch) -> Tensor:
    """Counts that the prediction stands for."""
    if config.loss == "poisson":
        return out.prediction.double().exp()
    return out.prediction.double().expm1().clamp(min=1e-3) * batch.log_size.double().exp()[:, None]
