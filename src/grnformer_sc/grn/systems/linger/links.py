"""One edge table of the strongest links of all groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Float32, Int

from ...._core.tables import edge_table, eregulon_name, places_in
from ...tf_gene import share_below
from .cells import PSEUDO
from .inputs import Samples, Wiring
from .network import Strengths
from .options import LingerOptions
from .strength import Seen, Shared, strongest, triplets

BLOCK = 4_000_000  # values held at a time


@dataclass(frozen=True, slots=True)
class Links:
    """Edge table, in which groups each row holds, signed genes x genes weights of each group, and parts of the strengths.

    `strengths` has a row per edge: `tf_contribution`, `similarity` (NaN without regions) and `shared`, what of the strength
    is the same in all cells.
    """

    edges: pd.DataFrame
    holds: sp.csr_matrix
    weights: Sequence[sp.csr_matrix]
    strengths: pd.DataFrame


def collect(
    common: Shared,
    seen: Sequence[Seen | None],
    samples: Samples,
    wiring: Wiring,
    found: Strengths,
    options: LingerOptions,
) -> Links:
    """Take the strongest links of every group (`None`: too few cells) and their strongest regions."""
    empty = sp.csr_matrix((wiring.genes.size, wiring.genes.size))
    made = [None if one is None else _of_group(common, one, samples, wiring, options) for one in seen]
    weights = [empty if one is None else one[1] for one in made]
    rows = pd.concat(
        [one[0].assign(group=group) for group, one in enumerate(made) if one is not None], ignore_index=True
    )
    if rows.empty:
        return Links(edge_table({}), sp.csr_matrix((0, len(seen)), dtype=bool), weights, pd.DataFrame())
    grouped = rows.groupby("code", sort=True)
    first = grouped[["tf", "gene", "region", "shared"]].first()
    table = _table(first, grouped[["strength", "triplet"]].max(), samples, wiring, found)
    known = first.index.to_numpy()
    row, place = np.searchsorted(known, rows["code"].to_numpy()), np.searchsorted(known, _codes(table, wiring))
    holds = sp.csr_matrix((np.ones(len(rows), dtype=bool), (row, rows["group"])), (known.size, len(seen)))
    strengths = _strengths(first.iloc[place], wiring, found)
    return Links(table, sp.csr_matrix(holds[place]), weights, strengths)


def _of_group(
    common: Shared, seen: Seen, samples: Samples, wiring: Wiring, options: LingerOptions
) -> tuple[pd.DataFrame, sp.csr_matrix]:
    """Triplets of a group (`code` numbers them over all groups) and its weights, signed by correlation."""
    tfs, n_genes = wiring.genes.get_indexer(wiring.tfs), wiring.genes.size
    tf, gene, value = strongest(common, seen, tfs, options.top)
    sign = _signs(correlated(samples.expression, tfs[tf], samples.expression, gene))
    rows = triplets(common, seen, tf, gene, options.top_regions)
    link = rows.pop("link").to_numpy()
    at_ends = (seen.genes[tfs[tf[link]]] + PSEUDO) * (seen.genes[gene[link]] + PSEUDO)
    rows = rows.assign(
        code=(tf[link] * n_genes + gene[link]) * (wiring.regions.size + 1) + rows["region"] + 1,
        tf=tf[link], gene=gene[link], strength=value[link], triplet=rows["triplet"] * at_ends,
    )  # fmt: skip
    return rows, sp.csr_matrix((value * sign, (tfs[tf], gene)), (n_genes, n_genes))


def _codes(table: pd.DataFrame, wiring: Wiring) -> Int[np.ndarray, " edges"]:
    tf, gene = places_in(wiring.tfs, table["tf"]), places_in(wiring.genes, table["gene"])
    region = places_in(wiring.regions, table["region"])
    return (tf * wiring.genes.size + gene) * (wiring.regions.size + 1) + region + 1


def _table(
    first: pd.DataFrame, largest: pd.DataFrame, samples: Samples, wiring: Wiring, found: Strengths
) -> pd.DataFrame:
    tf, gene, region = (first[name].to_numpy() for name in ("tf", "gene", "region"))
    rho = correlated(samples.expression, wiring.genes.get_indexer(wiring.tfs)[tf], samples.expression, gene)
    sign, region_sign = _signs(rho), np.zeros(tf.size, dtype=np.int64)
    columns = {
        "tf": wiring.tfs[tf], "gene": wiring.genes[gene], "tf_gene_importance": largest["strength"].to_numpy(),
        "tf_gene_rho": rho, "sign": sign, "score": share_below(largest["triplet"].to_numpy()), "evidence": "none",
    }  # fmt: skip
    if samples.accessibility is not None:
        pair = np.searchsorted(_pair_codes(wiring), gene * wiring.regions.size + region)
        region_rho = correlated(samples.accessibility, region, samples.expression, gene)
        region_sign = _signs(region_rho)
        columns |= {
            "region": wiring.regions[region], "region_gene_importance": found.region_gene[pair],
            "region_gene_rho": region_rho, "region_sign": region_sign,
            "distance": wiring.pairs["distance"].to_numpy()[pair],
        }  # fmt: skip
    named = [eregulon_name(*part) for part in zip(columns["tf"], sign, region_sign, strict=True)]
    return edge_table({**columns, "eregulon": named})


def _pair_codes(wiring: Wiring) -> Int[np.ndarray, " pairs"]:
    return wiring.pairs["gene"].to_numpy() * wiring.regions.size + wiring.pairs["region"].to_numpy()


def _strengths(first: pd.DataFrame, wiring: Wiring, found: Strengths) -> pd.DataFrame:
    tf, gene, region = (first[name].to_numpy() for name in ("tf", "gene", "region"))
    similarity = np.full(tf.size, np.nan)
    if found.similarity is not None:
        similarity = np.asarray(found.similarity[region, tf]).ravel()
    contribution = found.tf_gene[np.searchsorted(found.targets, gene), tf]
    columns = {
        "tf_contribution": contribution,
        "similarity": similarity.astype(np.float32),
        "shared": first["shared"].to_numpy(),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(tf.size).astype(str))


def correlated(
    one: Float32[np.ndarray, "left samples"], i: Int[np.ndarray, " pairs"], other: Float32[np.ndarray, "right samples"],
    j: Int[np.ndarray, " pairs"],
) -> Float[np.ndarray, " pairs"]:  # fmt: skip
    """Pearson correlation of rows that are standardised."""
    step = max(1, BLOCK // one.shape[1])
    parts = [
        np.einsum("pn,pn->p", one[i[a : a + step]], other[j[a : a + step]], dtype=np.float64)
        for a in range(0, i.size, step)
    ]
    return np.concatenate([np.empty(0), *parts]) / one.shape[1]


def _signs(rho: Float[np.ndarray, " pairs"]) -> Int[np.ndarray, " pairs"]:
    """The sign of a correlation; +1 for exactly 0."""
    return np.where(rho < 0, -1, 1)
