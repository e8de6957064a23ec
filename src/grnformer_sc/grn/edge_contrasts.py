"""Links of a network compared between two conditions, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from .._core.rows import Rows
from .contrasts import Labels, Sides, indexed, need_both_sides
from .edge_strength import Members, collect_sums, link_strength
from .moderated import Compared, compare, false_discovery
from .network import Network

FIRST = ("within", "tf", "gene", "eregulon")  # columns of the table


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts and names of cells, and what switches their links: eRegulons that are on, type in the network (-1: none)."""

    counts: Rows
    names: pd.Index
    active: sp.csr_matrix
    codes: Int[np.ndarray, " cells"]


def edge_table(
    cells: Cells,
    genes: pd.Index,
    network: Network,
    labels: Labels,
    group: str,
    reference: str,
    *,
    min_cells: int,
    moderate: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the strength of every TF -> gene link between two groups, a cell type at a time.

    Returns the table of links, best first in every cell type, and the table of contrasts (one row per cell type).
    """
    members = Members.of(network.gene_members(genes))
    holds = _holds(network, members, genes)
    side = np.full(len(labels.levels), -1)
    side[[labels.levels.index(group), labels.levels.index(reference)]] = 0, 1
    n_samples = max(len(labels.samples), 1)
    tables, contrasts = [], []
    for place, within in enumerate(labels.withins):
        rows = np.flatnonzero((labels.within == place) & (side[labels.level] >= 0))
        units = side[labels.level[rows]] * n_samples + labels.sample[rows]
        n_group, n_reference = np.bincount(units, minlength=2 * n_samples).reshape(2, n_samples)
        sides = Sides.of(n_group, n_reference, min_cells=min_cells, replicated=labels.replicated)
        z = link_strength(collect_sums(cells.counts, cells.names, rows, units, 2 * n_samples, members), members)
        found = compare(z[:n_samples], z[n_samples:], sides.design, moderate=moderate)
        head = {"within": within, "group": group, "reference": reference}
        contrasts.append({**head, **sides.record(found, replicated=labels.replicated)})
        if not (n_group.any() and n_reference.any()):
            continue
        on = link_shares(cells, rows, units, 2 * n_samples, members, holds)
        table = _link_table(found, network, members, genes, replicated=labels.replicated)
        tables.append(
            table.assign(
                within=within,
                on_group=_mean_of(on[:n_samples], sides.design.group)[table.index],
                on_reference=_mean_of(on[n_samples:], sides.design.reference)[table.index],
            )
        )
    need_both_sides(tables)
    table = pd.concat(tables, ignore_index=True).astype(dict.fromkeys(FIRST, "category"))
    table = table[[*FIRST, *(name for name in table if name not in FIRST)]]
    return indexed(table), indexed(pd.DataFrame(contrasts))


def _link_table(
    found: Compared, network: Network, members: Members, genes: pd.Index, *, replicated: bool
) -> pd.DataFrame:
    """Table of links, best first; its index tells which link a row is."""
    eregulons = network.eregulons.iloc[members.regulon]
    low, high = found.interval()
    table = pd.DataFrame(
        {
            "tf": eregulons["tf"].astype(str).to_numpy(), "gene": genes[members.gene].astype(str),
            "eregulon": eregulons["name"].astype(str).to_numpy(), "strength_group": found.mean_group,
            "strength_reference": found.mean_reference, "difference": found.difference, "ci_low": low, "ci_high": high,
            "statistic": found.test.statistic, "p": found.test.p, "fdr": false_discovery(found.test.p),
            "n_samples_group": (found.n_group * replicated).astype(np.int64),
            "n_samples_reference": (found.n_reference * replicated).astype(np.int64),
        }
    )  # fmt: skip
    return table.iloc[np.lexsort((table["gene"], table["eregulon"], -table["difference"].abs(), table["p"]))]


def _holds(network: Network, members: Members, genes: pd.Index) -> Bool[np.ndarray, "groups links"]:
    """Which links hold in which cell type of the network, through any region."""
    out = [
        np.asarray(network.gene_members(genes, group)[members.regulon, members.gene], dtype=bool).ravel()
        for group in range(len(network.group_names))
    ]
    return np.stack(out)


def link_shares(
    cells: Cells, rows: Int[np.ndarray, " some"], units: Int[np.ndarray, " some"], n_units: int, members: Members,
    holds: Bool[np.ndarray, "groups links"],
) -> Float[np.ndarray, "units links"]:  # fmt: skip
    """Share of a unit's cells in which a link is on: its eRegulon is, and it holds in the cell's type (NaN: no cells)."""
    active, codes = cells.active[rows], cells.codes[rows]
    out = np.zeros((n_units, members.gene.size))
    for group in range(holds.shape[0]):
        inside = np.flatnonzero(codes == group)
        member = sp.csr_matrix((np.ones(inside.size), (units[inside], inside)), (n_units, rows.size))
        out += (member @ active).toarray()[:, members.regulon] * holds[group]
    size = np.bincount(units, minlength=n_units).astype(np.float64)[:, None]
    return np.divide(out, size, out=np.full(out.shape, np.nan), where=size > 0)


def _mean_of(values: Float[np.ndarray, "samples links"], used: Bool[np.ndarray, " samples"]) -> np.ndarray:
    return values[used].mean(axis=0) if used.any() else np.full(values.shape[1], np.nan)
