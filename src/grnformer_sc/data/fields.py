"""What the model needs from an AnnData: counts, group labels, network and gate bits, aligned to the model's genes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Int64

from .._core.checks import fail, listing, need_key
from .._core.inputs import ALL_CELLS, open_rows, table_of
from .._core.keys import GrnKeys
from .._core.rows import Rows
from ..grn.network import Network

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

UNKNOWN = -1  # code of a cell whose group the network does not know
MIN_MATCHED = 0.5  # share of the model's genes that new data must hold


@dataclass(frozen=True, slots=True)
class CellData:
    """Cells: counts in the model's gene order, in memory or read batch by batch, group codes, and the bits they came with.

    `measured` is False for genes that the data does not hold; they are never visible and never masked targets.
    """

    counts: Rows
    genes: pd.Index
    cells: pd.Index
    codes: Int64[np.ndarray, " cells"]
    measured: Bool[np.ndarray, " genes"]
    gene_bits: sp.csr_matrix | None = None
    region_bits: sp.csr_matrix | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.counts.shape[0]

    @property
    def n_genes(self) -> int:
        """Number of genes of the model."""
        return self.counts.shape[1]

    def take(self, index: np.ndarray) -> CellData:
        """Keep the named rows, in memory."""
        gene_bits, region_bits = (None if part is None else part[index] for part in (self.gene_bits, self.region_bits))
        return replace(
            self,
            counts=Rows(self.counts.take(index)),
            cells=self.cells[index],
            codes=self.codes[index],
            gene_bits=gene_bits,
            region_bits=region_bits,
        )


def read_network(adata: AnnData, grn_key: str, *, required: bool = True) -> Network:
    """Read the network of `uns[grn_key]`; without one, say how to make it, or take an empty one if none is required."""
    if not required and grn_key not in adata.uns:
        return empty_network()
    need_key(
        adata.uns, grn_key, where="adata.uns",
        fix="run grs.tl.build_grn(mdata, groupby=...) first, name another network with grn_key=, "
        "or train without a network (use_grn=False).",
    )  # fmt: skip
    return Network.from_uns(adata.uns[grn_key])


def empty_network() -> Network:
    """A network without links, with one group for all cells."""
    edges = pd.DataFrame({name: pd.Series([], dtype=str) for name in ("tf", "region", "gene", "eregulon")})
    eregulons = pd.DataFrame({"name": [], "tf": [], "sign": [], "region_sign": []})
    groups = pd.DataFrame({"group": [], "eregulon": [], "kept": []})
    return Network(edges, eregulons, groups, sp.csr_matrix((0, 1), dtype=bool), (ALL_CELLS,))


def read_cells(
    adata: AnnData, network: Network, *, layer: str | None, keys: GrnKeys, genes: pd.Index | None = None
) -> CellData:
    """Read group codes and bits and open the counts; with `genes` columns are aligned to them and the loss is logged.

    What lies on disk stays there.
    """
    counts = open_rows(adata, layer, what="RNA")
    names = pd.Index(adata.var_names.astype(str))
    measured = np.ones(names.size, dtype=bool)
    if genes is not None and not genes.equals(names):
        counts, measured = _align(counts, names, genes)
        names = genes
    return CellData(
        counts=counts,
        genes=names,
        cells=pd.Index(adata.obs_names.astype(str)),
        codes=_codes(adata, network, keys),
        measured=measured,
        gene_bits=_bits(adata, network, keys.active, keys.auc),
        region_bits=_bits(adata, network, keys.active_region, keys.auc_region),
    )


def _align(counts: Rows, names: pd.Index, genes: pd.Index) -> tuple[Rows, np.ndarray]:
    column = names.get_indexer(genes)
    measured = column >= 0
    if measured.mean() < MIN_MATCHED:
        raise fail(
            ValueError, f"the data must hold at least {MIN_MATCHED:.0%} of the model's {genes.size} genes.",
            f"{int(measured.sum())} of them; the data names genes like {listing(names, 3)}, the model like "
            f"{listing(genes, 3)}.",
            "use the same species and gene identifiers as in training.",
        )  # fmt: skip
    logger.info(
        "matched %d of the model's %d genes; %d genes of the data are not in the model",
        measured.sum(), genes.size, names.size - measured.sum(),
    )  # fmt: skip
    aligned = replace(counts, columns=column)
    return Rows(aligned.to_memory()) if aligned.in_memory else aligned, measured


def _codes(adata: AnnData, network: Network, keys: GrnKeys) -> np.ndarray:
    if network.group_names == (ALL_CELLS,):
        return np.zeros(adata.n_obs, dtype=np.int64)
    obs = table_of(adata.obs)
    if keys.group not in obs:
        return np.full(adata.n_obs, UNKNOWN, dtype=np.int64)
    labels = obs[keys.group].astype(str)
    return pd.Index(network.group_names).get_indexer(labels).astype(np.int64)


def _bits(adata: AnnData, network: Network, slot: str, auc: str) -> sp.csr_matrix | None:
    if slot not in adata.obsm or not len(network.eregulons):
        return None
    bits = sp.csr_matrix(adata.obsm[slot], dtype=bool)
    names = network.eregulons["name"].astype(str).to_numpy()
    found = adata.obsm[auc].columns.astype(str).to_numpy() if hasattr(adata.obsm.get(auc), "columns") else names
    if bits.shape[1] != names.size or not np.array_equal(found, names):
        raise fail(
            ValueError, f"adata.obsm[{slot!r}] must hold one column for each of the network's {names.size} eRegulons.",
            f"{bits.shape[1]} columns of {listing(found, 3)}.",
            "score the cells with this network: grs.tl.cell_grn(adata, net=...).",
        )  # fmt: skip
    return bits


def need_known_groups(cells: CellData, keys: GrnKeys) -> None:
    """Raise `ValueError` when a cell has no group of the network."""
    lost = int((cells.codes == UNKNOWN).sum())
    if lost:
        raise fail(
            ValueError, f"training needs a group of the network for every cell (adata.obs[{keys.group!r}]).",
            f"{lost} of {cells.n_cells} cells without one.", "run grs.tl.build_grn, grs.tl.cell_grn or "
            "grs.pp.map_reference on these cells, and leave those out that stay without a group.",
        )  # fmt: skip
