"""One network out of many: their links ranked by the mean of their places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import rankdata

from .._core.tables import EVIDENCE, edge_table, eregulon_name, link_scores
from .tf_gene import share_below

PAIR, TRIPLET = ["tf", "gene"], ["tf", "gene", "region"]
AVERAGED = (
    "tf_gene_importance", "tf_gene_rho", "region_gene_importance", "region_gene_rho", "distance", "motif_score",
)  # fmt: skip


def consensus_edges(
    networks: Sequence[pd.DataFrame], *, min_networks: int = 1, n_links: int | None = None, min_targets: int = 10
) -> pd.DataFrame:
    """Rank the links of all networks by their mean place (Borda), as an edge table.

    In a network with n of the N different links of all networks, the best link has the place 1/N, and a link that it lacks
    the mean of the places that are left, (n + N + 1) / 2N. The mean over networks ranks the links (Marbach et al. 2012).
    Networks without regions rank TF-gene pairs, and their places hold for every region of a pair. The sign of a pair is the
    one for which more places speak.

    Kept are TF-gene pairs of at least `min_networks` networks, the best `n_links` of them (by default as many as the median
    network has), in eRegulons with at least `min_targets` genes.
    """
    tables = [_distinct(table) for table in networks]
    rows = _union(tables)
    places = np.sort([_places(table, rows) for table in tables], axis=0)  # summed alike in any order of networks
    pair = rows.groupby(PAIR, sort=False).ngroup().to_numpy()
    size = int(pair.max()) + 1 if len(rows) else 0
    held, voted = _votes(tables, rows, pair, size)
    place = places.mean(axis=0)
    best = np.full(size, np.inf)
    np.minimum.at(best, pair, place)
    if n_links is None:
        n_links = int(np.median([len(table.drop_duplicates(PAIR)) for table in tables]))
    ranked = np.lexsort((np.arange(size), best, held < min_networks))
    chosen = np.zeros(size, dtype=bool)
    chosen[ranked[: min(n_links, int((held >= min_networks).sum()))]] = True
    keep = chosen[pair]
    table = rows.assign(sign=np.where(voted >= 0, 1, -1)[pair], support=held[pair], score=1 - place)[keep]
    return _named(_averages(table, tables), min_targets)


def _distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Links by name with their score (that of TF -> gene where there is no other), the strongest of double ones."""
    frame = table.assign(score=link_scores(table)).astype(dict.fromkeys(TRIPLET, str))
    order = np.lexsort((frame["region"], frame["gene"], frame["tf"], -frame["score"].fillna(0)))
    return frame.iloc[order].drop_duplicates(TRIPLET).reset_index(drop=True)


def _union(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All different links; a TF-gene pair without a region stands for itself only where no network gives it one."""
    rows = pd.concat([table[TRIPLET] for table in tables]).drop_duplicates()
    placed = rows.loc[rows["region"] != "", PAIR].drop_duplicates().assign(placed=True)
    bare = rows.merge(placed, on=PAIR, how="left")["placed"].isna().to_numpy()
    rows = rows[bare | (rows["region"] != "").to_numpy()]
    return rows.sort_values(TRIPLET, kind="stable", ignore_index=True)


def _on(table: pd.DataFrame) -> list[str]:
    """Columns that name a link of a network."""
    return TRIPLET if (table["region"] != "").any() else PAIR


def _places(table: pd.DataFrame, rows: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    """Place of every row in a network, 0 to 1 (0: first)."""
    on = _on(table)
    total = len(rows[on].drop_duplicates())
    best = table.drop_duplicates(on)
    place = rankdata(-best["score"].to_numpy(dtype=np.float64)) / total
    found = rows[on].merge(best[on].assign(place=place), on=on, how="left")["place"]
    return found.fillna((len(best) + total + 1) / (2 * total)).to_numpy()


def _votes(
    tables: Sequence[pd.DataFrame], rows: pd.DataFrame, pair: Int[np.ndarray, " rows"], size: int
) -> tuple[Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Number of networks that hold a pair, and the sum of their signs, weighted by how early each places the pair."""
    number = rows[PAIR].assign(pair=pair).drop_duplicates(PAIR)
    held, voted = np.zeros(size, dtype=np.int64), np.zeros(size)
    for table in tables:
        best = table.drop_duplicates(PAIR)
        own = best[PAIR].merge(number, on=PAIR, how="left")["pair"].to_numpy()
        held[own] += 1
        voted[own] += best["sign"].to_numpy() * (1 - (rankdata(-best["score"]) - 1) / size)
    return held, voted


def _averages(rows: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Add the means of the numbers of all networks and the best evidence of any."""
    every = pd.concat([table[[*TRIPLET, *AVERAGED, "evidence", "region_sign"]] for table in tables], ignore_index=True)
    every = every.sort_values([*TRIPLET, *AVERAGED], kind="stable")
    every["evidence"] = pd.Categorical(every["evidence"], list(EVIDENCE)).codes
    of_pair = every.groupby(PAIR)[["tf_gene_importance", "tf_gene_rho"]].mean().reset_index()
    numbers = [name for name in AVERAGED if name not in of_pair]
    of_row = every.groupby(TRIPLET).agg({**dict.fromkeys(numbers, "mean"), "evidence": "min", "region_sign": "max"})
    out = rows.merge(of_pair, on=PAIR, how="left").merge(of_row.reset_index(), on=TRIPLET, how="left")
    return out.assign(evidence=np.asarray(EVIDENCE, dtype=object)[out["evidence"].to_numpy(dtype=int)])


def _named(rows: pd.DataFrame, min_targets: int) -> pd.DataFrame:
    """Edge table with names of eRegulons; where any link has a region, those without join the open ones."""
    state = rows["region_sign"].to_numpy(dtype=int)
    if (rows["region"] != "").any():
        state = np.where(state == 0, 1, state)
    parts = zip(rows["tf"], rows["sign"], state, strict=True)
    rows = rows.assign(region_sign=state, eregulon=[eregulon_name(*part) for part in parts])
    size = rows.groupby("eregulon")["gene"].transform("nunique")
    kept = rows[size >= min_targets]
    return edge_table(kept.assign(score=share_below(kept["score"].to_numpy()) if len(kept) else 1.0))
