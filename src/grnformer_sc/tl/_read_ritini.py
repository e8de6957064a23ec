"""Published weights of RiTINI: `best_model.pt`, read without running anything in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._core.checks import fail, listing
from ..grn.systems.ritini.model import RitiniNet
from ..nn.backbones.published import fill, need_state, read_tensors

logger = logging.getLogger(__name__)

STATE = "model_state_dict"


@dataclass(frozen=True, slots=True)
class ReadRitini:
    """A model with published weights, and what its genes were standardised by (`None`: the file does not say)."""

    net: RitiniNet
    mean: np.ndarray | None
    scale: np.ndarray | None


def read_ritini(path: Path, order: np.ndarray | None, n_genes: int) -> ReadRitini:
    """Read a checkpoint; numbers per gene are brought from the order of the file into that of the genes in use."""
    content = read_tensors(path)
    if not isinstance(content, Mapping) or STATE not in content:
        found = listing(content) if isinstance(content, Mapping) else type(content).__name__
        raise fail(
            ValueError, f"{path.name} must be a checkpoint of RiTINI with {STATE!r}.", f"{found}.",
            "give best_model.pt as the program writes it.",
        )  # fmt: skip
    net = RitiniNet.drawn(0)
    fill(net, need_state(content[STATE], path), source=path)
    mean, scale = (_per_gene(content.get(name), name, order, n_genes) for name in ("mean", "std"))
    if mean is None or scale is None:
        logger.info("%s: no mean and std; genes are standardised by those of the series", path.name)
    return ReadRitini(net, mean, scale)


def _per_gene(value: Any, name: str, order: np.ndarray | None, n_genes: int) -> np.ndarray | None:
    """One number per gene, from one for all or one each."""
    if value is None:
        return None
    array = np.asarray(torch.as_tensor(value, dtype=torch.float64)).ravel()
    if array.size == 1:
        return np.full(n_genes, array[0])
    if order is None or array.size != n_genes:
        raise fail(
            ValueError, f"{name} of the checkpoint is one number, or one for each gene in options={{'genes': ...}}.",
            f"{array.size} numbers, {n_genes} genes{'' if order is not None else ' that are not named'}.",
            "name the genes in the order that the checkpoint was made with.",
        )  # fmt: skip
    return array[order]
