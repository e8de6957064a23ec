"""Attention heads chosen by known links of some regulators, and judged by those of others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core.checks import fail
from .._core.rng import seed_for
from ..metrics import average_precision
from ..priors import prior_network
from ._systems import SystemInput, need_memory

if TYPE_CHECKING:
    from ..model.foundation_scores import Scorer
    from ..nn.foundation.options import FoundationOptions

logger = logging.getLogger(__name__)

FEWEST_TFS = 4


def choose_heads(
    scorer: Scorer, given: SystemInput, options: FoundationOptions, chosen: dict[str, np.ndarray]
) -> tuple[Scorer, pd.DataFrame]:
    """Scorer that reads the heads which rank the known links of half of the TFs best, and a table of all heads.

    The table has one row per head: `layer`, `head`, `chosen`; `train` and `held_out`, the mean average precision over the
    TFs of either half. The last row is the mean of the chosen heads, the one before it that of all.
    """
    genes, n_heads = given.cells.genes, int(options.n_heads or 0)
    known, tfs = _known_links(scorer, options.prior, genes)
    need_memory(scorer.model.key, 4.0 * len(scorer.maps) * genes.size * tfs.size, genes.size)
    rows = np.sort(np.concatenate(list(chosen.values())))
    maps = scorer.attention(given.cells.counts.take(rows), tfs=tfs, by_map=True)
    maps[:, tfs, np.arange(tfs.size)] = np.nan  # a gene is no target of its own
    train = np.array([seed_for(given.root, "heads", str(name)) % 2 == 0 for name in genes[tfs]])
    if train.all() or not train.any():
        train = np.arange(tfs.size) % 2 == 0
    halves = [[_precision(m, known, half) for m in maps] for half in (train, ~train)]
    best = np.sort(np.argsort(-np.asarray(halves[0]), kind="stable")[:n_heads])
    pairs = [(layer, int(head)) for layer, heads in scorer.maps.heads.items() for head in heads]
    table = pd.DataFrame(pairs, columns=["layer", "head"]).astype(str)
    table = table.assign(chosen=np.isin(np.arange(len(pairs)), best), train=halves[0], held_out=halves[1])
    for label, some in (("all", np.arange(len(pairs))), ("chosen", best)):
        mean = maps[some].mean(axis=0)
        table.loc[len(table)] = [label, "mean", False, _precision(mean, known, train), _precision(mean, known, ~train)]
    logger.info(
        "heads: %d of %d chosen by %d TFs; average precision on %d others %.3f (all heads %.3f, chance %.3f)",
        best.size, len(pairs), train.sum(), (~train).sum(), table["held_out"].iloc[-1], table["held_out"].iloc[-2],
        known[:, ~train].mean(),
    )  # fmt: skip
    return scorer.with_maps(best), table.set_index(table.index.astype(str))


def _known_links(scorer: Scorer, prior: object, genes: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Known links as genes x TFs, and the places of these TFs, each with a link among the genes."""
    links = prior_network(prior)
    known = np.zeros((genes.size, scorer.tfs.size), dtype=bool)
    tf = pd.Index(genes[scorer.tfs]).get_indexer(links["tf"].astype(str))
    gene = genes.get_indexer(links["gene"].astype(str))
    inside = (tf >= 0) & (gene >= 0)
    known[gene[inside], tf[inside]] = True
    judged = known.any(axis=0)
    if judged.sum() < FEWEST_TFS:
        raise fail(
            ValueError, f"heads are chosen and judged by known links of at least {FEWEST_TFS} regulators.",
            f"{judged.sum()} of {judged.size}.", "pass a prior that names genes of the data, or no prior and n_heads.",
        )  # fmt: skip
    return known[:, judged], scorer.tfs[judged]


def _precision(score: np.ndarray, known: np.ndarray, half: np.ndarray) -> float:
    """Mean over regulators of the average precision among the pairs that were seen."""
    out = []
    for column in np.flatnonzero(half):
        seen = np.isfinite(score[:, column])
        if known[seen, column].any():
            out.append(average_precision(known[seen, column], score[seen, column]))
    return float(np.mean(out)) if out else float("nan")
