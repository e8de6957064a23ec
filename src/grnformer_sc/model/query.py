"""A trained model carried over to new cells: its weights and its context, ready to be used or trained further."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from scvi.model.base import BaseModelClass

from .._core.checks import need_one_of
from .._core.keys import GrnKeys
from ..data.fields import UNKNOWN, CellData, need_known_groups, read_cells
from .assemble import build_net
from .context import Context
from .net import CellSummaryNet
from .registration import undone_by_errors

if TYPE_CHECKING:
    from anndata import AnnData

    from ..nn.fusion import GRNFormerNet
    from .grnformer import GRNFormer

logger = logging.getLogger(__name__)

Freeze = Literal["none", "backbone"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Trained model that a training begins with.

    Attributes
    ----------
    context
        What it keeps of its training cells.
    weights
        Its weights.
    freeze
        Part that stays as it is.
    """

    context: Context
    weights: dict[str, torch.Tensor]
    freeze: Freeze


def begin(model: GRNFormer, cells: CellData, train: np.ndarray, *, root: int) -> tuple[Context, CellSummaryNet]:
    """Context and network that a training begins with: anew from the training cells, or those of a trained model."""
    origin = model.origin
    if origin is None:
        need_known_groups(cells, GrnKeys(model.grn_key))
        context = Context.fit(cells, train, model.network, model.config, root=root)
        return context, build_net(model.config, context, model.network, model.genes, root=root, start=model.start)
    net = build_net(model.config, origin.context, model.network, model.genes, root=root)
    net.load_state_dict(origin.weights)
    if origin.freeze == "backbone":
        net.backbone.requires_grad_(requires_grad=False)
    return origin.context, net


def recipe(model: GRNFormer) -> dict[str, Any]:
    """What a training begins with, in plain values: a run goes on with the same only."""
    if model.origin is None:
        return model.config.to_dict()
    weights = hashlib.sha256()
    for name, value in sorted(model.origin.weights.items()):
        weights.update(name.encode() + value.numpy().tobytes())
    return {**model.config.to_dict(), "freeze": model.origin.freeze, "trained model": weights.hexdigest()}


def carry_over(model: GRNFormer, trained: GRNFormer, adata: AnnData, freeze: Freeze) -> None:
    """Make `model` (bare, of the same class) the trained one with other cells as its data."""
    need_one_of(freeze, ("none", "backbone"), name="freeze")
    with undone_by_errors(adata):
        _carry_over(model, trained, adata, freeze)


def _carry_over(model: GRNFormer, trained: GRNFormer, adata: AnnData, freeze: Freeze) -> None:
    context, train_config = trained.trained_state()
    trained.setup_anndata(adata, layer=trained.layer, grn_key=trained.grn_key)
    BaseModelClass.__init__(model, adata)
    model.registry_ = trained.registry_  # as saved, it describes the genes of the model and not those of these cells
    for name in ("config", "layer", "grn_key", "network", "genes"):
        setattr(model, name, getattr(trained, name))
    weights = {name: value.cpu().clone() for name, value in cast("GRNFormerNet", trained.module).state_dict().items()}
    model.start, model.origin = None, Origin(context, weights, freeze)
    cells = read_cells(adata, model.network, layer=model.layer, keys=GrnKeys(model.grn_key), genes=model.genes)
    model.context, model.train_config, model.history_ = context, train_config, trained.history_
    model.module = begin(model, cells, np.arange(0), root=0)[1].to(trained.device).eval()
    model.train_indices_, model.validation_indices_ = np.arange(0), np.arange(cells.n_cells)
    model.is_trained_ = True
    lost = int((cells.codes == UNKNOWN).sum())
    logger.info(
        "%d cells; %d of %d genes measured; %d cells take the group of their nearest training cells",
        cells.n_cells, cells.measured.sum(), cells.n_genes, lost,
    )  # fmt: skip
