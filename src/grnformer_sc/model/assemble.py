"""The network built from its parts, with seeded weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._core.rng import seed_for
from ..data.graph import structure_graph
from ..grn.network import Network
from ..nn.adapter import GraphAdapter
from ..nn.backbones import get_backbone
from ..nn.batch import CellBatch
from ..nn.fusion import FusedOutput, GRNFormerNet, Structure
from ..nn.heads import CountHead, NegativeBinomialHead
from ..nn.losses import masked_loss
from ..nn.objective import EdgeHead, consistency_loss, edge_loss
from ..nn.perturb import PerturbEdges
from ..nn.rows import rows_of
from ..nn.structure import StructureEncoder
from .config import ModelConfig
from .context import Context
from .gene_embedding import StartEmbedding
from .net import CellSummaryNet
from .pretrained import StartWeights

HEADS = {"poisson": CountHead, "nb": NegativeBinomialHead}


def build_net(
    config: ModelConfig,
    context: Context,
    network: Network,
    genes: pd.Index,
    *,
    root: int,
    start: StartWeights | StartEmbedding | None = None,
) -> CellSummaryNet:
    """Build the network; the initial weights follow from `root` and leave torch's own generator as it was.

    With published weights or a gene embedding the backbone starts from them, not from loadings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(root, "weights") % 2**63)
        backbone = get_backbone(config.backbone)(config.backbone_config(genes.size))
        mean = context.rates * context.mean_size
        log_rate = torch.from_numpy(np.log(mean))
        backbone.note_usual(torch.from_numpy(mean))
        head = HEADS[config.loss](backbone.out_dim, log_rate) if config.loss in HEADS else None
        structure = _structure(config, context, network, genes) if config.use_grn else None
        loadings = torch.from_numpy(context.reference.loadings) if start is None else None
        if start is not None:
            start.load_into(backbone)
        return CellSummaryNet(backbone, head, structure, loadings=loadings)


def _structure(config: ModelConfig, context: Context, network: Network, genes: pd.Index) -> Structure:
    return Structure(
        graph=structure_graph(network, genes, context.partners, weighted=config.edge_weights),
        encoder=StructureEncoder(
            config.dim,
            config.dim,
            layers=config.structure_layers,
            conv=config.conv,
            dropout=config.dropout,
            tie_scales=config.tie_scales or config.scales != "both",
            read_expression=config.node_features == "gene+expression",
        ),
        adapter=GraphAdapter(
            config.dim,
            config.heads,
            beta=config.beta,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        ),
        perturb=PerturbEdges(alpha=config.alpha, mode=config.perturb, keep_degree=config.keep_degree),
        tf_keys_only=config.keys == "tf",
        scales=config.scales,
        edge_head=EdgeHead(config.dim) if config.edge_prediction else None,
        two_views=config.consistency > 0,
    )


@dataclass(frozen=True, slots=True)
class ModelLoss:
    """Loss of an output given its batch: masked counts (or the backbone's own values), and the further terms."""

    config: ModelConfig
    net: GRNFormerNet

    def __call__(self, out: FusedOutput, batch: CellBatch) -> Tensor:
        """Add the terms up."""
        config, backbone = self.config, self.net.backbone
        target = backbone.values(batch.counts, batch) if config.loss == "mse" else None
        log_inverse = getattr(self.net.head, "log_inverse", None)
        main = masked_loss(out.prediction, batch, loss=config.loss, target=target, log_inverse=log_inverse)
        return main + backbone.extra_loss(out.extra, batch) + _network_loss(config, out, batch, log_inverse)


def _network_loss(config: ModelConfig, out: FusedOutput, batch: CellBatch, log_inverse: Tensor | None) -> Tensor:
    """Terms that speak about the network, where the output holds them (in training)."""
    total, extra, asked = out.prediction.new_zeros(()), out.extra, batch.masked
    if "edge_scores" in extra:
        total = total + config.edge_prediction * edge_loss(extra["edge_scores"], extra["edge_labels"])
    if "second" in extra:
        spread = None if log_inverse is None else rows_of(log_inverse, batch.genes[asked])
        views = out.prediction[asked], extra["second"][asked]
        total = total + config.consistency * consistency_loss(*views, loss=config.loss, log_inverse=spread)
    return total


def expected_counts(config: ModelConfig, net: GRNFormerNet, out: FusedOutput, batch: CellBatch) -> Tensor:
    """Counts that the prediction stands for."""
    if config.loss == "mse":
        return net.backbone.counts(out.prediction, batch).double().clamp(min=1e-3)
    return out.prediction.double().exp()
