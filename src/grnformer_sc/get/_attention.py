"""Results of a fitted model: attention and training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .._core.checks import fail, listing, need_key
from .._core.keys import ModelKeys
from ._read import rna_of, stored

FIT = "grs.tl.fit(adata)"


def attention(data: Any, *, group: str | None = None, key: str = "grnformer", rna: str = "rna") -> pd.DataFrame:
    """Read the strongest attention links: which gene a masked or visible gene listened to, per cell type.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Cell type; `None` gives all.
    key
        Base name of the model.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with `group`, `regulator` (key), `target` (query), `weight` (mean attention of the target's tokens on the
    regulator), `in_network` (whether the pair is a link of the group), strongest first within a group.

    Raises
    ------
    KeyError
        There is no fitted model with a network, or the group is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> list(grs.get.attention(mdata).columns)
    ['group', 'regulator', 'target', 'weight', 'in_network']
    """
    return _of_group(_table(data, "attention", key, rna), group)


def attention_received(data: Any, *, key: str = "grnformer", rna: str = "rna") -> pd.DataFrame:
    """Read how much attention each gene of the network receives per cell type.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the model.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table genes x groups, float32: mean attention from the expressed genes of a cell; 0 outside the network.

    Raises
    ------
    KeyError
        There is no fitted model with a network.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> grs.get.attention_received(mdata).shape
    (80, 2)
    """
    adata, keys = rna_of(data, rna), ModelKeys(key)
    groups = [str(name) for name in stored(data, key, made_by=FIT, rna=rna).get("group_names", [])]
    need_key(adata.varm, keys.attention, where="adata.varm", fix="fit a model with a network (use_grn=True).")
    return pd.DataFrame(adata.varm[keys.attention], index=adata.var_names, columns=groups, copy=True)


def attention_enrichment(
    data: Any, *, group: str | None = None, key: str = "grnformer", rna: str = "rna"
) -> pd.DataFrame:
    """Read how much more attention TFs receive than other genes, beside degree- and expression-matched nulls.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Cell type; `None` gives all.
    key
        Base name of the model.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per group: ratio of mean attention on TFs to that on others (`rho`), the same against genes of
    equal degree and of equal expression, and one-sided permutation p values. NaN for a model that attends to TFs only
    (`keys="tf"`): there is nothing to compare with.

    Raises
    ------
    KeyError
        There is no fitted model with a network, or the group is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> "rho" in grs.get.attention_enrichment(mdata)
    True
    """
    return _of_group(_table(data, "enrichment", key, rna), group)


def training(data: Any, *, key: str = "grnformer", rna: str = "rna") -> pd.DataFrame:
    """Read the training history.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the model.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per epoch: `epoch`, `train_loss`, `validation_loss`, `lr`.

    Raises
    ------
    KeyError
        There is no fitted model.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> len(grs.get.training(mdata))
    1
    """
    return _table(data, "history", key, rna)


def _table(data: Any, name: str, key: str, rna: str) -> pd.DataFrame:
    found = stored(data, key, made_by=FIT, rna=rna)
    if name not in found:
        fix = "fit a model with a network (use_grn=True)."
        raise fail(KeyError, f"uns[{key!r}] holds no {name!r}.", f"{listing(found)}.", fix)
    table: pd.DataFrame = found[name]
    return table.copy()


def _of_group(table: pd.DataFrame, group: str | None) -> pd.DataFrame:
    if group is None:
        return table
    chosen = table[table["group"].astype(str) == group]
    if chosen.empty:
        raise fail(
            KeyError, f"group={group!r} is no cell type of the model.", f"{listing(table['group'].unique(), 30)}.",
            "choose one of them.",
        )  # fmt: skip
    return chosen
