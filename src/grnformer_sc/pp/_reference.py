"""The reference of `pp.map_reference`: its network, the genes it shares with the data, and where its cells lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_key, need_nonempty_rows
from .._core.inputs import open_rows
from .._core.keys import GrnKeys
from .._core.rows import Rows, row_sums
from ..grn.embedding import FITTED_CELLS, log_normalise, pca_scores, project
from ..grn.mapping import UNKNOWN, Atlas, MapRules
from ..grn.network import Network

if TYPE_CHECKING:
    from anndata import AnnData

MIN_MATCHED = 0.5  # share of the reference's genes that the cells must hold
Space = Callable[[sp.csr_matrix], np.ndarray]  # a block of counts in, its scores out


class Embedder(Protocol):
    """What is asked of a model: `grs.model.GRNFormer` once it is trained."""

    genes: pd.Index
    layer: str | None

    def get_latent_representation(self, adata: AnnData) -> np.ndarray:
        """Embedding of cells."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """Cells that vote, in the order of their names, so that the order of the user's plays no part.

    Attributes
    ----------
    stored
        Network as it is stored.
    network
        The same, read.
    rows
        Rows of the cells.
    bits, codes
        Their bits and groups.
    """

    stored: Mapping[str, Any]
    network: Network
    rows: np.ndarray
    bits: sp.csr_matrix
    codes: np.ndarray

    @classmethod
    def read(cls, adata: AnnData, keys: GrnKeys, kind: str) -> Reference:
        """Read what a reference must hold."""
        stored, network, bits = _read_network(adata, keys, kind)
        labels = adata.obs[keys.group].astype(str)
        codes = pd.Index(network.group_names).get_indexer(labels).astype(np.int64)
        rows = np.argsort(adata.obs_names.to_numpy(dtype=str), kind="stable")
        rows = rows[codes[rows] != UNKNOWN]
        if rows.size < 2:
            raise fail(
                ValueError, f"the reference needs cells with groups of the network: {listing(network.group_names)}.",
                f"{rows.size} cells; obs[{keys.group!r}] holds {listing(labels.unique())}.",
                "run grs.tl.build_grn or grs.tl.cell_grn on the reference.",
            )  # fmt: skip
        return cls(stored, network, rows, bits[rows], codes[rows])

    def place(self, counts: Rows, model: Embedder | None, genes: pd.Index, rules: MapRules) -> tuple[Atlas, Space]:
        """Find the space of neighbours and put the cells there."""
        own = counts.to_memory()[self.rows]
        space = _components(own) if model is None else partial(_embed, model, genes)
        scores = np.concatenate([space(part) for _, part in Rows(own).blocks()])
        return Atlas.fit(own, scores, self.bits, self.codes, self.network.kept(), rules), space


def _read_network(adata: AnnData, keys: GrnKeys, kind: str) -> tuple[Mapping[str, Any], Network, sp.csr_matrix]:
    fix = "run grs.tl.build_grn(reference, groupby=...) first, or name another network with key_added=."
    slot = keys.active if kind == "gene" else keys.active_region
    need_key(adata.uns, keys.uns, where="uns of the reference", fix=fix)
    need_key(adata.obs, keys.group, where="obs of the reference", fix=fix)
    if kind == "region":
        fix = "build the network from RNA and ATAC, or pass kind='gene'."
    need_key(adata.obsm, slot, where="obsm of the reference", fix=fix)
    stored: Mapping[str, Any] = adata.uns[keys.uns]
    network, bits = Network.from_uns(stored), sp.csr_matrix(adata.obsm[slot], dtype=bool)
    if bits.shape[1] != len(network.eregulons):
        raise fail(
            ValueError, f"obsm[{slot!r}] of the reference needs one column per eRegulon ({len(network.eregulons)}).",
            f"{bits.shape[1]} columns.", "score the reference with its network: grs.tl.cell_grn(reference).",
        )  # fmt: skip
    auc, names = adata.obsm.get(keys.auc if kind == "gene" else keys.auc_region), network.eregulons["name"].astype(str)
    if isinstance(auc, pd.DataFrame) and list(auc.columns) != list(names):
        other = [name for name in auc.columns if name not in set(names)]
        raise fail(
            ValueError, f"obsm[{slot!r}] of the reference must be of the eRegulons of its network: {listing(names, 3)}.",
            f"{listing(other or auc.columns, 3)}.", "score the reference with its network: grs.tl.cell_grn(reference).",
        )  # fmt: skip
    return stored, network, bits


def shared_genes(names: pd.Index, reference: pd.Index, model: Embedder | None) -> pd.Index:
    """Genes of both (and of the model) in the order of their names; less than half of the reference's is an error."""
    needed = pd.Index(reference.astype(str)) if model is None else pd.Index(model.genes)
    shared = pd.Index(sorted(set(names.astype(str)) & set(reference.astype(str)) & set(needed)))
    if shared.size < MIN_MATCHED * needed.size:
        raise fail(
            ValueError,
            f"the data must hold at least {MIN_MATCHED:.0%} of the {needed.size} genes of the "
            f"{'reference' if model is None else 'model'}.",
            f"{shared.size}; data {listing(names, 3)}, reference {listing(reference, 3)}.",
            "use the same species and gene names (grs.pp.harmonize_genes).",
        )  # fmt: skip
    return shared


def open_genes(adata: AnnData, layer: str | None, genes: pd.Index, what: str) -> Rows:
    """Counts of some genes, none of the cells empty."""
    rows = replace(
        open_rows(adata, layer, what=f"RNA counts of {what}"), columns=adata.var_names.astype(str).get_indexer(genes)
    )
    need_nonempty_rows(row_sums(rows)[0], adata.obs_names, what=f"the shared genes of {what}")
    return rows


def _components(counts: sp.csr_matrix) -> Space:
    """Principal components of the reference (of many cells, of every n-th)."""
    _, loadings, mean = pca_scores(counts[:: -(-counts.shape[0] // FITTED_CELLS)])
    return lambda part: project(log_normalise(part), loadings, mean)


def _embed(model: Embedder, genes: pd.Index, counts: sp.csr_matrix) -> np.ndarray:
    """Embed cells as the model sees any unlabelled RNA: reference and new cells alike."""
    from anndata import AnnData

    names = [f"mapped cell {i}" for i in range(counts.shape[0])]
    block = AnnData(X=counts, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=genes))
    if model.layer is not None:
        block.layers[model.layer] = counts
    return model.get_latent_representation(block)
