"""`tl.in_silico_perturbation`: how far cells and genes move in a foundation model when a gene is deleted or raised."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from .._core.checkpoint import Checkpoint, digest_of_rows
from .._core.checks import fail, listing
from .._core.inputs import copy_of
from .._core.keys import ModelKeys
from .._core.logging import step
from .._core.results import Results
from ..get._read import rna_of
from ..nn.foundation.options import Measure, Perturbation
from ._embed import counts_of, model_of, record_of

if TYPE_CHECKING:
    from ..model import Foundation
    from ..model.foundation import CountsByToken
    from ..nn.foundation.base import Pool, Precision, Reading

logger = logging.getLogger(__name__)

GENES_OF_PART = 8  # of a run that can be stopped


def in_silico_perturbation(
    data: Any,
    model: Foundation | str | Path,
    genes: str | Sequence[str],
    *,
    kind: Perturbation = "deletion",
    measure: Measure = "embedding",
    emb_layer: int = -1,
    pool: Pool = "mean",
    layer: str | None = None,
    gene_ids: str | None = None,
    min_matched: float = 0.2,
    batch_size: int = 32,
    device: str = "auto",
    precision: Precision = "float32",
    rna: str = "rna",
    key_added: str | None = None,
    resume: bool | str | Path = False,
    copy: bool = False,
) -> Any:
    """Delete or over-express genes in every cell, one at a time, and measure how far embeddings or predictions move.

    Geneformer's perturbation experiment (Theodoris et al. 2023): the token of the gene is taken out of the sequence and the
    others move up, or it is put before all other genes, with the largest value of the cell where the model reads values.
    The cosine shift is 1 - cosine of the embeddings before and after. What comes out is how much the model's picture of a
    cell depends on the token, not a proof of cause: genes high in the sequence move it more.

    Parameters
    ----------
    data
        Cells with raw counts: AnnData (in memory, backed, zarr or dask), or a MuData that holds them.
    model
        A foundation model (`grs.model.Geneformer` and its like), or the folder or file of a published one.
    genes
        Genes to perturb, by their names in the data. The network is run once for each of them in each cell.
    kind
        `"deletion"` in the cells that hold the gene, `"overexpression"` in all cells, or `"flag"` in all cells: an scGenePT
        is told that the gene is perturbed, and its value stays, as in that model's training.
    measure
        What moves of a gene: its `"embedding"`, or its `"expression"` as the decoder of an scGPT or scGenePT predicts it (on
        the scale of its values: bins, or log(1 + counts per 10,000)). Then embeddings are those of the last layer.
    emb_layer, pool, layer, gene_ids, min_matched, device, precision, rna
        As in `grs.tl.embed`.
    batch_size
        Sequences that pass the network at once, those of like length together; it changes speed and memory only.
    key_added
        Base name of the slots, before the kind; by default the name of the model.
    resume
        Keep finished genes in this folder (`True`: in the cache), so that a run that was stopped goes on where it was.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `obsm["geneformer_deletion"]` (`"geneformer_overexpression"`, `"scgenept_flag"`) : float32 cells x perturbed genes
        Cosine shift of each cell, 0 to 2; NaN where a gene to delete is no token of the cell.
    `varm["geneformer_deletion"]` : float32 genes x perturbed genes
        Mean cosine shift of each gene over the cells that hold it and were perturbed, or mean change of its predicted
        expression; NaN where none was.
    `uns["geneformer_deletion"]`
        `table` (DataFrame, the largest mean shift of cells first: `gene`, `n_cells`, `shift`), `genes` (the columns of both
        arrays), `params`.

    Raises
    ------
    FileNotFoundError
        A file of the model is missing.
    KeyError
        A gene is not in the data, or the layer or the column `gene_ids` is missing.
    ValueError
        A gene has no token, two of them share one, the model is told no flags or predicts no expression, or anything that
        `grs.tl.embed` refuses.

    See Also
    --------
    grnformer_sc.tl.embed : the embeddings themselves.
    grnformer_sc.tl.simulate_ko : the change of expression that a network foretells.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(40, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    >>> model = grs.model.Geneformer.untrained(dict.fromkeys(rna.var_names, 1.0), dim=8, heads=2)
    >>> grs.tl.in_silico_perturbation(rna, model, ["TF01", "TF02"], device="cpu")
    >>> rna.obsm["geneformer_deletion"].shape
    (40, 2)
    """
    read = model_of(model)
    read.need_perturbation(kind, measure)
    emb_layer = 0 if measure == "expression" else emb_layer
    how = read.reading(emb_layer=emb_layer, pool=pool, batch_size=batch_size, device=device, precision=precision)
    if copy:
        data = copy_of(data)
    cells, slot = rna_of(data, rna), ModelKeys(key_added or read.key).perturbed(kind)
    counts = counts_of(read, cells, layer=layer, gene_ids=gene_ids, min_matched=min_matched)
    names = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
    places = _places(names, cells.var_names, counts)
    with step(logger, "in_silico_perturbation") as facts:
        kept = Checkpoint.resuming("perturbation", resume=resume)
        of_cells, of_genes = _shifts(read, counts, places, how, kind, measure, kept)
        table = _table(of_cells, names)
        absent = table.loc[table["n_cells"] == 0, "gene"]
        facts.append(
            f"{len(names)} genes, {kind}, {table['n_cells'].sum()} sequences from {cells.n_obs} cells, {how.device}"
        )
        if absent.size:
            facts.append(f"{absent.size} are a token of no cell {listing(absent)}")
    params = {
        "kind": kind,
        "measure": measure,
        "emb_layer": emb_layer,
        "pool": pool,
        "precision": precision,
        "batch_size": batch_size,
    }
    record = record_of("in_silico_perturbation", read, counts, params, layer=layer, gene_ids=gene_ids)
    stored = {"table": table, "genes": np.asarray(names, dtype=object), "params": record}
    Results(obsm={slot: of_cells}, varm={slot: of_genes}, uns={slot: stored}).write(cells)
    return data if copy else None


def _places(names: list[str], known: pd.Index, counts: CountsByToken) -> np.ndarray:
    """Places of the genes in the data; each must have a token of its own."""
    place = known.get_indexer(names)
    unknown = [name for name, at in zip(names, place, strict=True) if at < 0]
    if unknown or not names:
        raise fail(
            KeyError, "genes must name genes of the data.", f"unknown {listing(unknown)} of {listing(names)}.",
            f"name genes such as {listing(known, 5)}.",
        )  # fmt: skip
    token = counts.place[place]
    mute = [name for name, at in zip(names, token, strict=True) if at < 0]
    if mute:
        raise fail(
            ValueError, "genes to perturb must be in the vocabulary of the model.", f"without a token {listing(mute)}.",
            "leave them out, or name them as the model knows them (gene_ids=).",
        )  # fmt: skip
    if np.unique(token).size < token.size:
        twice = [name for name, again in zip(names, pd.Index(token).duplicated(keep=False), strict=True) if again]
        raise fail(
            ValueError, "each gene to perturb needs a token of its own.", f"one token for {listing(twice)}.",
            "name one of them; their counts are added up.",
        )  # fmt: skip
    return place


def _shifts(
    model: Foundation, counts: CountsByToken, places: np.ndarray, how: Reading, kind: Perturbation, measure: Measure,
    kept: Checkpoint,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Shifts of cells and genes; with a checkpoint a few genes at a time, each part once."""
    if kept.folder is None:
        return model.perturb(counts, places, how, kind=kind, measure=measure)
    what = str((kind, measure, how.depth, how.pool, how.precision))
    kept = kept.of("perturbation", digest_of_rows(counts.counts), counts.place, what, *model.decisive())
    parts = []
    for first in range(0, places.size, GENES_OF_PART):
        some = places[first : first + GENES_OF_PART]
        name = "-".join(str(place) for place in some)

        def make(some: np.ndarray = some) -> np.ndarray:
            return np.concatenate(model.perturb(counts, some, how, kind=kind, measure=measure))

        parts.append(kept.keep(name, make))
    both = np.concatenate(parts, axis=1)
    return both[: counts.counts.shape[0]], both[counts.counts.shape[0] :]


def _table(of_cells: Float32[np.ndarray, "cells perturbed"], names: list[str]) -> pd.DataFrame:
    """Mean shift of the cells that hold each gene, the largest first."""
    held = ~np.isnan(of_cells)
    n_cells = held.sum(axis=0)
    total = np.nansum(of_cells, axis=0, dtype=np.float64)
    mean = np.divide(total, n_cells, out=np.full(len(names), np.nan), where=n_cells > 0)
    table = pd.DataFrame({"gene": names, "n_cells": n_cells, "shift": mean})
    table = table.sort_values("shift", ascending=False, kind="stable", na_position="last").reset_index(drop=True)
    return table.set_index(table.index.astype(str))
