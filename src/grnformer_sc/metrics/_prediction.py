"""How well the sources of links predict their targets in cells that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.stats import false_discovery_control, rankdata
from scipy.stats import t as student

from .._core.checks import fail, listing, need_between
from .._core.rng import RngLike, as_root, generator
from ._links import f_score
from ._nulls import need_columns

PENALTY = 0.01  # ridge, in units of the number of training cells
BLOCK = 4_000_000  # values of sources held dense at a time
LEVEL, LEAST_RHO = 0.05, 0.05  # what counts as predicted


def held_out_prediction(
    links: pd.DataFrame,
    *,
    sources: Any,
    source_names: pd.Index,
    targets: Any,
    target_names: pd.Index,
    source: str = "tf",
    target: str = "gene",
    score: str = "score",
    top: int = 5,
    test: float = 1 / 3,
    rng: RngLike = 0,
) -> tuple[pd.Series, pd.DataFrame]:
    """Predict every target from its best sources by ridge regression, in cells that were left out.

    One function for three questions: genes from TFs, genes from regions, regions from TFs (the predictive tasks of GRETA,
    Badia-i-Mompel et al. 2024, there with boosted trees). A target counts as predicted when Spearman's correlation of
    prediction and truth is above .05 with a false discovery rate below .05 (Benjamini-Hochberg over targets). It asks
    whether links hold associations, not whether they are causal: correlated genes predict each other as well, so look at
    the same figure of `grs.metrics.against_nulls`.

    Parameters
    ----------
    links
        Distinct links with a score.
    sources, targets
        Cells x sources and cells x targets of the same cells, dense or sparse, normalised (such as log counts).
    source_names, target_names
        Names of their columns; links with other names are left out. A link of a name to itself is left out.
    source, target, score
        Columns of `links`.
    top
        Sources of a target that are used, the best by score.
    test
        Share of the cells that is left out and predicted.
    rng
        Seed or generator of the split.

    Returns
    -------
    Series `precision` (share of the targets with links that are predicted), `recall` (their share of all targets), `f01`,
    `rho`, `r2` (means over targets with links), `n_targets`, `n_linked`; and the table by target: `rho`, `r2`, `p`, `fdr`,
    `n_sources`.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        The shapes do not fit, fewer than 10 cells would be on one side of the split, or no link has both names.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> links = pd.DataFrame({"tf": ["A", "A"], "gene": ["x", "y"], "score": [1.0, 1.0]})
    >>> y = np.stack([x[:, 0], x[:, 1]], axis=1)
    >>> tfs, genes = pd.Index(["A", "B"]), pd.Index(["x", "y"])
    >>> data = {"sources": x, "source_names": tfs, "targets": y, "target_names": genes}
    >>> figures, by_gene = grs.metrics.held_out_prediction(links, **data)
    >>> float(figures["precision"])
    0.5
    """
    need_columns(links, [source, target, score])
    n_cells = sources.shape[0]
    if targets.shape[0] != n_cells or sources.shape[1] != source_names.size or targets.shape[1] != target_names.size:
        raise fail(
            ValueError, "sources and targets need the same cells, and a name for every column.",
            f"{sources.shape} with {source_names.size} names, {targets.shape} with {target_names.size} names.",
            "take both from the same cells.",
        )  # fmt: skip
    n_test = round(n_cells * test)
    need_between(n_test, 10, n_cells - 10, name="number of left-out cells")
    used = _best(links, source_names, target_names, (source, target, score), top)
    held = np.zeros(n_cells, dtype=bool)
    held[generator(as_root(rng), "held_out").permutation(n_cells)[:n_test]] = True
    table = _by_target(used, sp.csc_matrix(sources), sp.csc_matrix(targets), held)
    table.index = pd.Index(target_names[table.index.to_numpy()], name=target)
    hit = (table["fdr"] < LEVEL) & (table["rho"] > LEAST_RHO)
    precision, recall = float(hit.mean()), float(hit.sum() / target_names.size)
    figures = {
        "precision": precision, "recall": recall, "f01": f_score(precision, recall), "rho": float(table["rho"].mean()),
        "r2": float(table["r2"].mean()), "n_targets": float(target_names.size), "n_linked": float(len(table)),
    }  # fmt: skip
    return pd.Series(figures), table


def _best(
    links: pd.DataFrame, sources: pd.Index, targets: pd.Index, columns: tuple[str, str, str], top: int
) -> pd.DataFrame:
    """Places of the `top` best sources of every target (`source`, `target`, `rank`), sorted by target and rank."""
    source, target, score = columns
    named = links[source].astype(str), links[target].astype(str)
    table = pd.DataFrame(
        {
            "source": sources.get_indexer(named[0]),
            "target": targets.get_indexer(named[1]),
            "score": links[score].to_numpy(dtype=np.float64),
            "name": named[0].to_numpy(),
        }
    )[(named[0] != named[1]).to_numpy()]
    table = table[(table["source"] >= 0) & (table["target"] >= 0)]
    if not len(table):
        raise fail(
            ValueError, "links must name columns of both matrices.",
            f"links such as {listing(named[0].head(3))} -> {listing(named[1].head(3))}; sources {listing(sources, 3)}, "
            f"targets {listing(targets, 3)}.", "use the names of the data.",
        )  # fmt: skip
    table = table.sort_values(["target", "score", "name"], ascending=[True, False, True], kind="stable")
    table = table.drop_duplicates(["source", "target"])
    return table.assign(rank=table.groupby("target").cumcount())[lambda t: t["rank"] < top]


def _by_target(
    used: pd.DataFrame, sources: sp.csc_matrix, targets: sp.csc_matrix, held: Bool[np.ndarray, " cells"]
) -> pd.DataFrame:
    """Figures of every linked target, in blocks of targets."""
    place, row = np.unique(used["target"].to_numpy(), return_inverse=True)
    width = int(used["rank"].max()) + 1
    column = np.full((place.size, width), -1, dtype=np.int64)
    column[row, used["rank"].to_numpy()] = used["source"].to_numpy()
    size = max(1, BLOCK // (held.size * width))
    parts = []
    for start in range(0, place.size, size):
        block = slice(start, start + size)
        predicted, truth = _predicted(sources, targets[:, place[block]].toarray(), column[block], held)
        parts.append(_figures(predicted, truth))
    table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True).set_index(pd.Index(place))
    return table.assign(fdr=false_discovery_control(table["p"]), n_sources=(column >= 0).sum(axis=1))


def _predicted(
    sources: sp.csc_matrix, y: Float[np.ndarray, "cells targets"], column: Int[np.ndarray, "targets width"],
    held: Bool[np.ndarray, " cells"],
) -> tuple[Float[np.ndarray, "held targets"], Float[np.ndarray, "held targets"]]:  # fmt: skip
    """Ridge of all targets of a block at once; scaled and centred by the cells it is fitted to."""
    n_cells, (n_targets, width) = held.size, column.shape
    x = sources[:, np.maximum(column, 0).ravel()].toarray().astype(np.float64).reshape(n_cells, n_targets, width)
    x *= column >= 0
    x, y = _scaled(x, held), _scaled(y.astype(np.float64), held)
    fit_x, fit_y, n_fit = x[~held], y[~held], int((~held).sum())
    gram = np.einsum("ntk,ntl->tkl", fit_x, fit_x, optimize=True) + PENALTY * n_fit * np.eye(width)
    slope = np.linalg.solve(gram, np.einsum("ntk,nt->tk", fit_x, fit_y, optimize=True)[..., None])[..., 0]
    return np.einsum("ntk,tk->nt", x[held], slope, optimize=True), y[held]


def _scaled(x: Float[np.ndarray, "..."], held: Bool[np.ndarray, " cells"]) -> Float[np.ndarray, "..."]:
    sd = x[~held].std(axis=0)
    return (x - x[~held].mean(axis=0)) / np.where(sd > 0, sd, 1)


def _figures(
    predicted: Float[np.ndarray, "held targets"], truth: Float[np.ndarray, "held targets"]
) -> dict[str, Float[np.ndarray, " targets"]]:
    """Spearman's correlation (0 where one side is constant), its one-sided p value, and R2 against the mean of training."""
    ranks = [rankdata(values, axis=0) for values in (predicted, truth)]
    centred = [r - r.mean(axis=0) for r in ranks]
    size = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    rho = np.clip((centred[0] * centred[1]).sum(axis=0) / np.where(size > 0, size, 1), -1, 1)
    freedom = len(truth) - 2
    p = student.sf(rho * np.sqrt(freedom / np.maximum(1 - rho**2, 1e-300)), freedom)
    total = (truth**2).sum(axis=0)
    r2 = 1 - ((truth - predicted) ** 2).sum(axis=0) / np.where(total > 0, total, 1)
    return {"rho": rho, "r2": np.where(total > 0, r2, 0.0), "p": p}
