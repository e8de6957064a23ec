"""Networks that share what is trivial about a network: the size of its hubs, or how much its targets are expressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int

from .._core.checks import fail, listing, need_between
from .._core.rng import RngLike, as_root, generator

BIN = 20  # genes of similar expression among which targets are exchanged
ROUNDS = 20  # every link is offered for exchange so many times
NULLS = ("degree", "expression")


def rewired_links(links: pd.DataFrame, *, source: str = "tf", target: str = "gene", rng: RngLike = 0) -> pd.DataFrame:
    """Exchange the targets of random pairs of links, so that every source and every target keeps its number of links.

    A link keeps its source and all its other columns. Links of a name to itself, where there is none, and double links
    are never made (Maslov & Sneppen 2002).

    Parameters
    ----------
    links
        Distinct links.
    source, target
        Columns that name the ends of a link.
    rng
        Seed or generator.

    Returns
    -------
    A copy of `links` with other targets.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        A link stands in the table twice.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> links = pd.DataFrame({"tf": ["A", "A", "B", "B"], "gene": ["w", "x", "y", "z"]})
    >>> other = grs.metrics.rewired_links(links, rng=0)
    >>> sorted(other["gene"]) == sorted(links["gene"]), other["tf"].tolist()
    (True, ['A', 'A', 'B', 'B'])
    """
    need_columns(links, [source, target])
    names = pd.Index(pd.unique(pd.concat([links[source].astype(str), links[target].astype(str)])))
    one, other = (names.get_indexer(links[column].astype(str)).astype(np.int64) for column in (source, target))
    if len(np.unique(one * len(names) + other)) < len(links):
        raise fail(
            ValueError, f"links must be distinct in {source!r} and {target!r}.", "a link that stands in the table twice.",
            f"keep the strongest, for example with links.drop_duplicates([{source!r}, {target!r}]).",
        )  # fmt: skip
    loops = bool((one == other).any())
    moved = _exchanged(one, other, len(names), generator(as_root(rng), "rewired"), loops=loops)
    return links.assign(**{target: names.to_numpy(dtype=object)[moved]})


def _exchanged(
    source: Int[np.ndarray, " links"],
    target: Int[np.ndarray, " links"],
    n: int,
    rng: np.random.Generator,
    *,
    loops: bool,
) -> Int[np.ndarray, " links"]:
    """Targets after `ROUNDS` rounds; in a round all links are paired at random and possible exchanges are made at once."""
    target = target.copy()
    half = source.size // 2
    for _ in range(ROUNDS if half else 0):
        order = rng.permutation(source.size)
        a, b = order[:half], order[half : 2 * half]
        new = np.stack([source[a] * n + target[b], source[b] * n + target[a]])
        _, place, times = np.unique(new, return_inverse=True, return_counts=True)
        good = (times[place].reshape(new.shape) == 1).all(axis=0)
        good &= ~np.isin(new, source * n + target).any(axis=0)
        if not loops:
            good &= (source[a] != target[b]) & (source[b] != target[a])
        a, b = a[good], b[good]
        target[a], target[b] = target[b], target[a]
    return target


def expression_matched_links(
    links: pd.DataFrame, expression: Mapping[str, float] | pd.Series, *, target: str = "gene", rng: RngLike = 0
) -> pd.DataFrame:
    """Rename the targets: every gene takes the place of a random gene that is about as highly expressed.

    Genes are ordered by expression and exchange their names within bins of 20, so that a network which merely knows which
    genes are highly expressed stays as good as it is.

    Parameters
    ----------
    links
        Links.
    expression
        Mean expression by gene; genes that are no target take part too.
    target
        Column of the genes that are renamed.
    rng
        Seed or generator.

    Returns
    -------
    A copy of `links` with other targets.

    Raises
    ------
    KeyError
        The column is missing, or a target has no expression.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> links = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "x"]})
    >>> mean = pd.Series({"x": 1.0, "y": 1.1, "z": 1.2})
    >>> grs.metrics.expression_matched_links(links, mean, rng=1)["gene"].nunique()
    1
    """
    need_columns(links, [target])
    level = pd.Series(expression, dtype=float).sort_index()
    places = pd.Index(level.index.astype(str)).get_indexer(links[target].astype(str))
    if (places < 0).any():
        raise fail(
            KeyError, "every target needs its mean expression.",
            f"none for {listing(links[target].astype(str)[places < 0].unique())}.",
            "give all genes of the data, or leave these links out.",
        )  # fmt: skip
    order = np.argsort(level.to_numpy(), kind="stable")
    shuffled = np.empty_like(order)
    draws = generator(as_root(rng), "expression")
    n_bins = max(1, round(order.size / BIN))
    for members in np.array_split(order, n_bins):
        shuffled[members] = draws.permutation(members)
    return links.assign(**{target: level.index.to_numpy(dtype=object)[shuffled[places]]})


def against_nulls(
    measure: Callable[[pd.DataFrame], pd.Series],
    links: pd.DataFrame,
    *,
    expression: Mapping[str, float] | pd.Series | None = None,
    source: str = "tf",
    target: str = "gene",
    n_nulls: int = 20,
    rng: RngLike = 0,
) -> pd.DataFrame:
    """Measure a network beside random ones with the same degrees and, given expression, with like expressed targets.

    Parameters
    ----------
    measure
        Function from a table of links to a Series of figures.
    links
        The network.
    expression
        Mean expression by gene, for `grs.metrics.expression_matched_links`; `None` leaves that null out.
    source, target
        Columns that name the ends of a link.
    n_nulls
        Random networks of each kind.
    rng
        Seed or generator.

    Returns
    -------
    Table with one row per figure: `value`, and for every kind of null (`degree`, `expression`) `<kind>_mean`,
    `<kind>_low`, `<kind>_high` (the central 95 % of the random networks).

    Raises
    ------
    KeyError, ValueError
        As the function, `rewired_links` and `expression_matched_links` raise them.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> truth = pd.DataFrame({"tf": ["A", "B", "C"], "gene": ["x", "y", "z"]})
    >>> found = truth.assign(score=1.0)
    >>> judged = grs.metrics.against_nulls(lambda links: grs.metrics.link_recovery(links, truth), found)
    >>> bool(judged.loc["aupr", "value"] > judged.loc["aupr", "degree_mean"])
    True
    """
    need_between(n_nulls, 1, 100_000, name="n_nulls")
    root = as_root(rng)
    seeds = [generator(root, "null", i) for i in range(n_nulls)]
    out = measure(links).rename("value").to_frame()
    nulls = {"degree": [measure(rewired_links(links, source=source, target=target, rng=seed)) for seed in seeds]}
    if expression is not None:
        renamed = [expression_matched_links(links, expression, target=target, rng=seed) for seed in seeds]
        nulls["expression"] = [measure(table) for table in renamed]
    for kind, figures in nulls.items():
        table = pd.DataFrame(figures)
        out[f"{kind}_mean"] = table.mean()
        out[f"{kind}_low"], out[f"{kind}_high"] = table.quantile(0.025), table.quantile(0.975)
    return out


def need_columns(table: pd.DataFrame, columns: list[str]) -> None:
    """Raise `KeyError` when a table of links lacks a column."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise fail(KeyError, f"links need the columns {columns}.", f"{listing(table.columns)}.", f"add {missing}.")
