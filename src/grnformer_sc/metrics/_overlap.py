"""How much networks have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, need_between, need_one_of
from ._nulls import need_columns

KINDS = ("jaccard", "smaller")


def link_overlap(
    networks: Mapping[str, pd.DataFrame],
    *,
    on: Sequence[str] = ("tf", "gene"),
    score: str = "score",
    top: int | None = None,
    kind: str = "jaccard",
) -> pd.DataFrame:
    """Compare networks pair by pair by the links that they share.

    Parameters
    ----------
    networks
        Tables of links by name.
    on
        Columns that name a link.
    score
        Column by which the best links are taken, with `top`.
    top
        Number of best links of each network; `None` takes all. Networks of different size have a small Jaccard index
        whatever they say, so compare as many links of each.
    kind
        `"jaccard"`: shared links over links of either; `"smaller"`: over those of the smaller network.

    Returns
    -------
    Symmetric table networks x networks, 1 on the diagonal. For the stability of a method give the networks of several
    seeds or subsamples, and take the mean off the diagonal.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There are fewer than two networks, one is empty, or the kind is unknown.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> one = pd.DataFrame({"tf": ["A", "A"], "gene": ["x", "y"]})
    >>> grs.metrics.link_overlap({"one": one, "other": one.head(1)})["one"].tolist()
    [1.0, 0.5]
    """
    need_one_of(kind, KINDS, name="kind")
    if len(networks) < 2 or any(not len(table) for table in networks.values()):
        sizes = {name: len(table) for name, table in networks.items()}
        raise fail(ValueError, "at least two networks with links are needed.", f"{sizes}.", "give more networks.")
    columns = list(on)
    tables = []
    for table in networks.values():
        need_columns(table, [*columns, score] if top is not None else columns)
        if top is not None:
            need_between(top, 1, np.inf, name="top")
        ranked = table if top is None else table.sort_values(score, ascending=False, kind="stable")
        distinct = ranked[columns].astype(str).drop_duplicates()
        tables.append(distinct if top is None else distinct.head(top))
    every = pd.concat(tables, ignore_index=True)
    link = every.groupby(columns, sort=False).ngroup().to_numpy()
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    held = sp.csr_matrix((np.ones(link.size), (owner, link)))
    shared = (held @ held.T).toarray()
    size = np.diag(shared)
    either = size[:, None] + size[None, :] - shared
    total = either if kind == "jaccard" else np.minimum(size[:, None], size[None, :])
    return pd.DataFrame(shared / total, index=list(networks), columns=list(networks))
