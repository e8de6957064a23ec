"""From a network to the cells: AUC, thresholds, cell types, bits and the graph of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int

from .._core.rows import Rows
from .._core.settings import settings
from .._core.tables import places_in
from .._core.typing import Number
from .aucell import Norm, aucell
from .embedding import lsi_scores
from .groups import group_shares, group_table, lay_out_groups, open_regions
from .network import Network
from .overlap import OverlapGraph, overlap_graph
from .pooling import pooling_matrix
from .thresholds import Rule, Thresholds, fit_thresholds


@dataclass(frozen=True, slots=True)
class CellInput:
    """What is measured in the cells: counts and, where there is ATAC, accessibility; their sums and numbers of values."""

    counts: Rows
    genes: pd.Index
    codes: Int[np.ndarray, " cells"]
    depth: Float[np.ndarray, " cells"]
    n_values: tuple[int, int]
    accessibility: Rows | None = None
    regions: pd.Index | None = None
    fragments: Float[np.ndarray, " cells"] | None = None

    def take(self, rows: Int[np.ndarray, " taken"]) -> CellInput:
        """Some cells (ascending numbers), in memory."""
        access = self.accessibility
        return replace(
            self, counts=Rows(self.counts.take(rows)), codes=self.codes[rows], depth=self.depth[rows],
            accessibility=None if access is None else Rows(access.take(rows)),
            fragments=None if self.fragments is None else self.fragments[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Activity:
    """AUC and bits of one modality (cells x eRegulons)."""

    auc: Float32[np.ndarray, "cells eregulons"]
    active: Bool[np.ndarray, "cells eregulons"]


@dataclass(frozen=True, slots=True)
class CellScores:
    """Everything that the cells say about a network."""

    network: Network
    gene: Activity
    region: Activity | None
    graph: OverlapGraph
    pool_size: Int[np.ndarray, " cells"] | None


def eregulon_table(edges: pd.DataFrame) -> pd.DataFrame:
    """One row per eRegulon of an edge table, sorted by name: `name, tf, sign, region_sign, n_genes, n_regions`."""
    frame = edges.assign(region=edges["region"].astype(str), gene=edges["gene"].astype(str))
    grouped = frame.groupby(frame["eregulon"].astype(str), sort=True)
    first = grouped[["tf", "sign", "region_sign"]].first()
    table = pd.DataFrame(
        {
            "name": first.index.to_numpy(dtype=object),
            "tf": first["tf"].astype(str).to_numpy(dtype=object),
            "sign": first["sign"].to_numpy(dtype=np.int8),
            "region_sign": first["region_sign"].to_numpy(dtype=np.int8),
            "n_genes": grouped["gene"].nunique().to_numpy(),
            "n_regions": grouped["region"].agg(lambda names: names[names != ""].nunique()).to_numpy(),
        }
    )
    table.index = table.index.astype(str)
    return table


def network_of_links(edges: pd.DataFrame, group_names: Sequence[str], holds: sp.csr_matrix) -> Network:
    """Make a network without scores of cells, of links that are known to hold in groups (bool edges x groups).

    A group keeps an eRegulon that has a link there; figures of the cells' activity are NaN.
    """
    network = Network(edges, eregulon_table(edges), pd.DataFrame(), sp.csr_matrix(holds), tuple(group_names))
    kept = (owners(network) @ holds.astype(np.float64)).toarray().T > 0
    names, n_groups = list(network.eregulons["name"]), len(network.group_names)
    missing = np.full((n_groups, len(names)), np.nan)
    return replace(network, groups=lay_out_groups(kept, missing, missing, missing, group_names, names))


def fit_cells(
    cells: CellInput,
    edges: pd.DataFrame,
    group_names: Sequence[str],
    *,
    norm: Norm = "decoupler",
    rule: Rule = "mixture",
    quantile: Number = 0.9,
    n_jobs: int,
) -> CellScores:
    """Score the cells a network was made from: fit thresholds, decide what each type keeps, set the bits."""
    eregulons = eregulon_table(edges)
    bare = Network(
        edges, eregulons, pd.DataFrame(), sp.csr_matrix((len(edges), len(group_names)), dtype=bool), tuple(group_names)
    )
    auc = aucell(cells.counts, bare.gene_members(cells.genes), norm=norm, n_jobs=n_jobs)
    fitted = fit_thresholds(auc, rule=rule, quantile=quantile)
    eregulons = with_thresholds(eregulons, fitted)
    above = auc > fitted.value
    place = cells.genes.get_indexer(eregulons["tf"])
    shares = group_shares(cells.counts, cells.codes, len(group_names))
    detected = np.where(place >= 0, shares[:, place], 1.0)  # a TF that was not measured cannot be judged
    groups = group_table(auc, above, detected, cells.codes, group_names, list(eregulons["name"]))
    region_auc, pool_size = region_activity(cells, bare, norm=norm, n_jobs=n_jobs)
    if region_auc is not None:
        fitted = fit_thresholds(region_auc, rule=rule, quantile=quantile)
        eregulons = with_thresholds(eregulons, fitted, suffix="_region")
    network = replace(bare, eregulons=eregulons, groups=groups)
    network = replace(network, edge_groups=edge_groups(network, network.kept(), cells))
    return assemble(network, cells, auc, region_auc, pool_size, n_jobs=n_jobs)


def apply_network(cells: CellInput, network: Network, *, norm: Norm = "decoupler", n_jobs: int) -> CellScores:
    """Score new cells with a frozen network: its thresholds, types and edges; gene bits depend on the cell alone."""
    auc = aucell(cells.counts, network.gene_members(cells.genes), norm=norm, n_jobs=n_jobs)
    region_auc, pool_size = None, None
    if "threshold_region" in network.eregulons:
        region_auc, pool_size = region_activity(cells, network, norm=norm, n_jobs=n_jobs)
    return assemble(network, cells, auc, region_auc, pool_size, n_jobs=n_jobs)


def assemble(
    network: Network,
    cells: CellInput,
    auc: Float32[np.ndarray, "cells eregulons"],
    region_auc: Float32[np.ndarray, "cells eregulons"] | None,
    pool_size: Int[np.ndarray, " cells"] | None,
    *,
    n_jobs: int,
) -> CellScores:
    """Set the bits (above the threshold AND kept by the cell's type) and compare the cells by them."""
    allowed = network.kept()[cells.codes]
    gene = Activity(auc, (auc > network.eregulons["threshold"].to_numpy()) & allowed)
    region = None
    if region_auc is not None:
        region = Activity(region_auc, (region_auc > network.eregulons["threshold_region"].to_numpy()) & allowed)
    graph = overlap_graph(gene.active, cells.codes, shared_edge_counts(network), n_jobs=n_jobs)
    return CellScores(network, gene, region, graph, pool_size)


def with_thresholds(eregulons: pd.DataFrame, fitted: Thresholds, *, suffix: str = "") -> pd.DataFrame:
    """Add the thresholds and their rules to the eRegulon table."""
    rule = np.asarray(fitted.rule, dtype=object)
    return eregulons.assign(**{f"threshold{suffix}": fitted.value, f"threshold_rule{suffix}": rule})


def region_activity(
    cells: CellInput, network: Network, *, norm: Norm, n_jobs: int
) -> tuple[Float32[np.ndarray, "cells eregulons"] | None, Int[np.ndarray, " cells"] | None]:
    """AUC of each eRegulon's regions on accessibility pooled over neighbours in ATAC space, in chunks of cells."""
    counts = cells.accessibility
    if counts is None or cells.regions is None or cells.fragments is None:
        return None, None
    if not (network.eregulons["region_sign"] != 0).any():
        return None, None
    pools, size = pooling_matrix(cells.fragments, lsi_scores(counts), n_jobs=n_jobs)
    members = network.region_members(cells.regions)
    chunk = settings.chunk_cells
    pooled = (counts.weighted(pools[a : a + chunk]) for a in range(0, counts.shape[0], chunk))
    return np.concatenate([aucell(part, members, norm=norm, n_jobs=n_jobs) for part in pooled]), size


def edge_groups(network: Network, kept: Bool[np.ndarray, "groups eregulons"], cells: CellInput) -> sp.csr_matrix:
    """Boolean edges x groups: the group keeps the eRegulon and, where there is a region, the region is open in it."""
    holds = kept[:, network.eregulon_of_edge]
    if cells.accessibility is not None and cells.regions is not None:
        is_open = open_regions(cells.accessibility, cells.codes, len(network.group_names))
        region = places_in(cells.regions, network.edges["region"])
        holds &= np.where(region >= 0, is_open[:, region], True)  # noqa: FBT003  (a value, not a flag)
    return sp.csr_matrix(holds.T)


def owners(network: Network) -> sp.csr_matrix:
    """1 where an edge belongs to an eRegulon (eRegulons x edges)."""
    n_edges = len(network.edges)
    at = network.eregulon_of_edge, np.arange(n_edges)
    return sp.csr_matrix((np.ones(n_edges), at), (len(network.eregulons), n_edges))


def shared_edge_counts(network: Network) -> Float[np.ndarray, "groups groups eregulons"]:
    """Number of edges of each eRegulon that hold in both of two groups."""
    n_groups, owner = network.edge_groups.shape[1], owners(network)
    holds = network.edge_groups.astype(np.float64)
    out = np.empty((n_groups, n_groups, len(network.eregulons)))
    for group in range(n_groups):
        both = holds.multiply(holds[:, [group]]).tocsr()
        out[group] = (owner @ both).T.toarray()
    return out


def modality_agreement(scores: CellScores) -> Float[np.ndarray, " eregulons"]:
    """Pearson correlation over cells of gene AUC and region AUC per eRegulon (NaN where one is constant)."""
    if scores.region is None:
        return np.full(len(scores.network.eregulons), np.nan)
    pairs = zip(scores.gene.auc.T, scores.region.auc.T, strict=True)
    return np.array([_correlation(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs])


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan
