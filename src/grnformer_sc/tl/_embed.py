"""`tl.embed`: embeddings of cells and genes by a published foundation model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core.checks import fail, listing
from .._core.inputs import copy_of, open_rows, table_of
from .._core.keys import ModelKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from ..get._read import rna_of

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import Foundation
    from ..model.foundation import CountsByToken
    from ..nn.foundation.base import Pool, Precision

logger = logging.getLogger(__name__)


def embed(
    data: Any,
    model: Foundation | str | Path,
    *,
    genes: bool = True,
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
    copy: bool = False,
) -> Any:
    """Embed cells and genes by a foundation model, as its weights are, without training.

    A cell is a sequence of its genes, as the model orders and values them; its embedding is the mean of those of its genes,
    or that of a token that stands for the cell. Cells are read in blocks, so memory does not grow with their number.

    Parameters
    ----------
    data
        Cells with raw counts: AnnData (in memory, backed, zarr or dask), or a MuData that holds them.
    model
        A foundation model (`grs.model.Geneformer` and its like), or the folder or file of a published one.
    genes
        Also embed genes.
    emb_layer
        Layer that is read: 0 the last, -1 the one before it (the original's default, less tied to the pre-training task).
    pool
        Embedding of a cell: `"mean"` of its genes, or `"cls"`, the tokens before them, which not every model has.
    layer
        Layer with raw counts; `None` is `.X`.
    gene_ids
        Column of `var` with names that the vocabulary knows, such as Ensembl ids; `None` takes the names of the genes.
    min_matched
        Share of the genes that must be in the vocabulary.
    batch_size
        Cells that pass the network at once, those of like length together; it changes speed and memory only.
    device
        torch device; `"auto"` takes a GPU where there is one.
    precision
        `"float32"`, or `"bfloat16"` or `"float16"` inside the network, which is faster on a GPU; results are float32.
    rna
        Name of the RNA modality of a MuData.
    key_added
        Base name of the slots; by default the name of the model.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `obsm["X_geneformer"]` : float32 cells x dim
        Embedding of cells.
    `varm["geneformer"]` : float32 genes x dim
        With `genes`: mean embedding of each gene over the cells that hold it as a token; NaN where none does.
    `uns["geneformer"]`
        `params`, with the sha256 of every file of the model, and the number of genes that it does not know.

    Raises
    ------
    FileNotFoundError
        A file of the model is missing.
    KeyError
        The layer, or the column `gene_ids`, is missing.
    ValueError
        The files do not fit each other, too few genes are in the vocabulary, a cell has none of them, the counts are no
        raw counts, or `pool="cls"` is asked of a model without that token.

    See Also
    --------
    grnformer_sc.model.load_foundation : reads the files of a published model.
    grnformer_sc.tl.in_silico_perturbation : how embeddings move when a gene is deleted or over-expressed.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    >>> model = grs.model.Geneformer.untrained(dict.fromkeys(rna.var_names, 1.0), dim=8, heads=2)
    >>> grs.tl.embed(rna, model, device="cpu")
    >>> rna.obsm["X_geneformer"].shape
    (60, 8)
    """
    read = model_of(model)
    how = read.reading(emb_layer=emb_layer, pool=pool, batch_size=batch_size, device=device, precision=precision)
    if copy:
        data = copy_of(data)
    cells, keys = rna_of(data, rna), ModelKeys(key_added or read.key)
    counts = counts_of(read, cells, layer=layer, gene_ids=gene_ids, min_matched=min_matched)
    with step(logger, "tl.embed") as facts:
        of_cells, of_genes = read.embed(counts, how, genes=genes)
        facts.append(f"{cells.n_obs} cells, {of_cells.shape[1]} dimensions, {how.device}, {how.precision}")
        if of_genes is not None:
            n_unseen = int(pd.isna(of_genes[:, 0]).sum()) - counts.n_lost
            facts.append(f"{n_unseen} genes of the vocabulary are a token of no cell")
    params = {"genes": genes, "emb_layer": emb_layer, "pool": pool, "precision": precision, "batch_size": batch_size}
    out = Results(stale=[("varm", keys.genes)])
    out.uns[keys.uns] = {"params": record_of("tl.embed", read, counts, params, layer=layer, gene_ids=gene_ids)}
    out.obsm[keys.embedding] = of_cells
    if of_genes is not None:
        out.varm[keys.genes] = of_genes
    out.write(cells)
    return data if copy else None


def model_of(model: Foundation | str | Path) -> Foundation:
    """Read a published model, unless it was read before."""
    from ..model import Foundation, load_foundation

    if isinstance(model, Foundation):
        return model
    if isinstance(model, (str, Path)):
        return load_foundation(model)
    raise fail(
        TypeError, "model must be a foundation model, or the folder or file of one.", f"{type(model).__name__}.",
        "read it with grs.model.load_foundation(path).",
    )  # fmt: skip


def counts_of(
    model: Foundation, cells: AnnData, *, layer: str | None, gene_ids: str | None, min_matched: float
) -> CountsByToken:
    """Counts of the cells for the genes of a model."""
    names = gene_names(cells, gene_ids)
    return model.counts_of(open_rows(cells, layer, what="RNA"), names, min_matched=min_matched)


def gene_names(cells: AnnData, gene_ids: str | None) -> pd.Index:
    """Names by which a vocabulary is asked for the genes: those of a column of `var`, or their own."""
    table = table_of(cells.var)
    if gene_ids is not None and gene_ids not in table:
        raise fail(
            KeyError, f"gene_ids={gene_ids!r} names no column of var.", f"{listing(table.columns)}.",
            "name one of them, or None for the names of the genes.",
        )  # fmt: skip
    return pd.Index(cells.var_names if gene_ids is None else table[gene_ids].astype(str))


def record_of(
    title: str,
    model: Foundation,
    counts: CountsByToken,
    params: dict[str, Any],
    *,
    layer: str | None,
    gene_ids: str | None,
) -> dict[str, Any]:
    """Everything needed to repeat a step with a model, files by their checksums."""
    what = {**params, "gene_ids": gene_ids, "model": repr(model), "sha256": model.sha256}
    dropped = {"genes without token": counts.n_lost}
    return recipe(title, what, inputs={"counts": layer or "X"}, dropped=dropped)
