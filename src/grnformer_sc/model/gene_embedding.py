"""A user's own gene embedding: read, matched by name, and taken as the start of a backbone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._core.checks import fail, listing
from ..nn.backbones import Backbone, get_backbone
from .config import ModelConfig
from .pretrained import matched, rows_or_mean

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

GeneEmbedding: TypeAlias = str | Path | pd.DataFrame
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read_gene_embedding(source: GeneEmbedding, adata: AnnData) -> pd.DataFrame:
    """Read an embedding: a table genes x dims, a key of `varm`, or a file of either form; float64, a row per gene."""
    if isinstance(source, pd.DataFrame):
        table = source
    elif isinstance(source, str) and source in adata.varm:
        held: Any = adata.varm[source]
        table = pd.DataFrame(held.to_numpy() if isinstance(held, pd.DataFrame) else held, index=adata.var_names)
    elif isinstance(source, (str, Path)):
        table = _file(Path(source), list(adata.varm))
    else:
        raise fail(
            TypeError, "a gene embedding is a DataFrame genes x dims, a key of varm, or a file.",
            f"{type(source).__name__}.", "name the genes: pd.DataFrame(matrix, index=genes).",
        )  # fmt: skip
    return _checked(table)


def _file(path: Path, keys: list[str]) -> pd.DataFrame:
    """Table with the names of the genes in its index or its first column."""
    kind = next((suffix for suffix in path.suffixes[::-1] if suffix in (*SEPARATORS, ".parquet")), None)
    if not path.is_file() or kind is None:
        raise fail(
            FileNotFoundError, "a gene embedding must be a key of varm or a file .csv, .tsv or .parquet.",
            f"{path}; varm holds {listing(keys)}.", "check the name.",
        )  # fmt: skip
    if kind != ".parquet":
        return pd.read_csv(path, sep=SEPARATORS[kind], index_col=0)
    table = pd.read_parquet(path)
    return table.set_index(table.columns[0]) if isinstance(table.index, pd.RangeIndex) else table


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Check that every gene has one row of finite numbers."""
    names = pd.Index(table.index.astype(str))
    text = [str(name) for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if isinstance(table.index, pd.RangeIndex) or text or not table.size:
        found = f"columns of text {listing(text)}" if text else f"{table.shape}, rows named {listing(names, 3)}"
        raise fail(
            ValueError, "a gene embedding must have a row of numbers for every gene, named by it.", f"{found}.",
            "put the names of the genes into the index, and nothing but numbers into the columns.",
        )  # fmt: skip
    values = np.ascontiguousarray(table, dtype=np.float64)
    wrong = names[~np.isfinite(values).all(axis=1)]
    twice = names[names.duplicated()].unique()
    if wrong.size or twice.size:
        found = f"not finite: {listing(wrong)}" if wrong.size else f"several rows of {listing(twice)}"
        raise fail(
            ValueError, "a gene embedding must have one row of finite numbers per gene.", f"{found}.",
            "drop these rows, or take one of each.",
        )  # fmt: skip
    return pd.DataFrame(values, index=names)


@dataclass(frozen=True, slots=True)
class StartEmbedding:
    """An embedding of the genes of some data, from which a backbone starts.

    Attributes
    ----------
    table
        Row of every gene; that of a gene without one is the mean of the others.
    matches
        One row per gene: `before` (name in the data), `after` (name in the embedding, "" without one), `way`.
    """

    what: ClassVar[str] = "a row of the embedding"
    table: Tensor
    matches: pd.DataFrame

    @property
    def n_lost(self) -> int:
        """Genes that the embedding does not hold."""
        return int((self.matches["after"] == "").sum())

    def load_into(self, backbone: Backbone) -> None:
        """Let a backbone start from the embedding."""
        with torch.no_grad():
            backbone.take_embedding(self.table)
        n_genes, width = self.table.shape
        logger.info("gene embedding: %d genes x %d, for a backbone of width %d", n_genes, width, backbone.dim)


def start_from_embedding(
    source: GeneEmbedding, adata: AnnData, config: ModelConfig, genes: pd.Index, *, min_matched: float
) -> tuple[ModelConfig, StartEmbedding]:
    """Settings and start of a model of these genes."""
    table = read_gene_embedding(source, adata)
    matches = matched(genes, table.index, min_matched=min_matched, source="gene embedding")
    rows = torch.from_numpy(table.index.get_indexer(matches["after"]).astype(np.int64))
    start = StartEmbedding(rows_or_mean(torch.from_numpy(table.to_numpy()), rows), matches)
    own = get_backbone(config.backbone).settings_for(table.shape[1])
    return config.with_settings(own), start
