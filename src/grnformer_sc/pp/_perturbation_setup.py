"""`pp.perturbation_setup`: what was done to each cell, in one spelling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from .._core.checks import fail, listing, need_key
from .._core.inputs import ALL_CELLS, find_group, table_of
from .._core.keys import ConditionKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.perturbations import CONTROL, JOINT, genes_in
from .._core.results import Results
from .._core.tables import alike, by_upper
from ..grn.perturbation.labels import canonical, genes_of, guess_controls, guess_separator, need_distinct

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

FEW = 10  # cells of a condition below which its mean says little


def perturbation_setup(
    adata: AnnData,
    *,
    condition_key: str = "perturbation",
    control: str | Sequence[str] | None = None,
    sep: str | None = None,
    covariate_keys: Sequence[str] = (),
    gene_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Read the labels of a perturbation screen, in any of the usual spellings, and write them in one.

    A label becomes the sorted names of its genes, joined by "+": `A+ctrl` and `ctrl+A` (GEARS) are `A`, `B_A` (scPerturb)
    is `A+B`, `ctrl`, `non-targeting` or whatever `control` names is `control`. Genes that are perturbed but not measured
    are kept and marked.

    Parameters
    ----------
    adata
        Cells.
    condition_key
        Column of obs that says what was done to each cell.
    control
        Label or labels of control cells; `None` knows the usual spellings (`control`, `ctrl`, `non-targeting`, ...).
    sep
        What stands between the genes of a label; `None` finds it: "+", or else a character that cuts labels into genes
        that are measured or stand alone in another label. What was found is logged.
    covariate_keys
        Columns of obs that make the context of a cell (cell line, day, donor): every condition is then a pair of
        perturbation and context, with control cells of its own context.
    gene_key
        Column of var with the names by which genes are perturbed; `var_names` by default.
    copy
        Return a copy of `adata` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `obs["perturbed"]` : categorical
        Canonical label, `control` for control cells.
    `obs["perturbed_context"]` : categorical
        Values of the covariates, joined by ", "; "all" without any.
    `uns["perturbed"]`
        `conditions` (table `perturbation`, `context`, `n_genes`, `n_measured`, `n_cells`), `genes` (table `gene`,
        `measured`), `control` and `params`.

    Raises
    ------
    KeyError
        A column does not exist.
    ValueError
        There are no control cells, in all or in a context, no perturbed cells, or cells without a label.

    Examples
    --------
    >>> import numpy as np, anndata as ad, pandas as pd, grnformer_sc as grs
    >>> obs = pd.DataFrame({"condition": ["ctrl", "KLF1+ctrl", "SET+KLF1", "ctrl"]}, index=list("abcd"))
    >>> adata = ad.AnnData(np.ones((4, 2), dtype="float32"), obs=obs, var=pd.DataFrame(index=["KLF1", "HBG1"]))
    >>> grs.pp.perturbation_setup(adata, condition_key="condition")
    >>> adata.obs["perturbed"].tolist()
    ['control', 'KLF1', 'KLF1+SET', 'control']
    >>> adata.uns["perturbed"]["genes"]["measured"].tolist()
    [True, False]
    """
    if copy:
        adata = adata.copy()
    keys = ConditionKeys()
    label = find_group(adata, adata, None, condition_key, option="condition_key")
    context = _context(adata, covariate_keys)
    names = _names(adata, gene_key)
    with step(logger, "perturbation_setup") as facts:
        texts = list(label.cat.categories)
        controls = _controls(texts, control, condition_key)
        cut = guess_separator(texts, set(names), controls) if sep is None else sep
        genes = {text: genes_of(text, cut, controls) for text in texts}
        every = sorted({gene for group in genes.values() for gene in group})
        need_distinct(every)
        own = label.map({text: canonical(group) for text, group in genes.items()}).astype(str)
        _need_both(own, context, condition_key, texts)
        table = pd.DataFrame({"gene": every, "measured": pd.Index(every).isin(names)})
        facts.extend(_facts(own, context, table, cut))
    _say_spelling(table.loc[~table["measured"], "gene"].tolist(), names)
    measured = table.set_index("gene")["measured"]
    params = {
        "condition_key": condition_key, "control": list(controls), "sep": cut, "covariate_keys": list(covariate_keys),
        "gene_key": gene_key,
    }  # fmt: skip
    out = Results()
    out.obs[keys.label] = pd.Categorical(own)
    out.obs[keys.context] = pd.Categorical(context)
    out.uns[keys.uns] = {
        "conditions": _conditions(own, context, measured), "genes": table.set_index(table.index.astype(str)),
        "control": CONTROL, "params": recipe("perturbation_setup", params, inputs={"obs": condition_key}, dropped={}),
    }  # fmt: skip
    out.write(adata)
    return adata if copy else None


def _context(adata: AnnData, covariate_keys: Sequence[str]) -> pd.Series:
    if isinstance(covariate_keys, str):
        raise fail(
            TypeError, "covariate_keys is a list of columns.", f"the text {covariate_keys!r}.",
            f"write covariate_keys=[{covariate_keys!r}].",
        )  # fmt: skip
    columns = [find_group(adata, adata, None, key, option="covariate_keys").astype(str) for key in covariate_keys]
    out = columns[0] if columns else pd.Series(ALL_CELLS, index=adata.obs_names)
    for column in columns[1:]:
        out = out + ", " + column
    return out


def _names(adata: AnnData, gene_key: str | None) -> pd.Index:
    if gene_key is None:
        return adata.var_names.astype(str)
    var = table_of(adata.var)
    need_key(var, gene_key, where="adata.var", fix="name the column with the names of the perturbed genes, or None.")
    return pd.Index(var[gene_key].astype(str))


def _controls(labels: list[str], control: str | Sequence[str] | None, column: str) -> tuple[str, ...]:
    given = (control,) if isinstance(control, str) else control
    found = guess_controls(labels) if given is None else tuple(name for name in given if name in labels)
    if not found:
        wanted = "a usual spelling such as 'control', 'ctrl' or 'non-targeting'" if given is None else listing(given)
        raise fail(
            ValueError, f"some cells must be controls: {wanted} in obs[{column!r}].", f"{listing(labels)}.",
            "name the label of control cells with control=.",
        )  # fmt: skip
    return found


def _need_both(own: pd.Series, context: pd.Series, column: str, labels: list[str]) -> None:
    """Every context needs control cells, and something must have been perturbed."""
    if (own == CONTROL).all():
        raise fail(
            ValueError, f"some cells of obs[{column!r}] must be perturbed.", f"control cells only: {listing(labels)}.",
            "name another column with condition_key=.",
        )  # fmt: skip
    lacking = sorted(set(context) - set(context[own == CONTROL]))
    if lacking:
        raise fail(
            ValueError, "every context needs control cells.", f"none in {listing(lacking)}.",
            "leave these contexts out, or use fewer covariate_keys.",
        )  # fmt: skip


def _conditions(own: pd.Series, context: pd.Series, measured: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"perturbation": own.to_numpy(), "context": context.to_numpy()})
    table = table.value_counts(sort=False).rename("n_cells").reset_index()
    table = table.sort_values(["perturbation", "context"], ignore_index=True)
    genes = [() if name == CONTROL else genes_in(name) for name in table["perturbation"]]
    table.insert(2, "n_genes", [len(group) for group in genes])
    table.insert(3, "n_measured", [int(measured.loc[list(group)].sum()) if group else 0 for group in genes])
    table.index = table.index.astype(str)
    return table


def _facts(own: pd.Series, context: pd.Series, genes: pd.DataFrame, sep: str | None) -> list[str]:
    n_cells = pd.DataFrame({"p": own, "c": context}).value_counts()
    names = sorted(set(own) - {CONTROL})
    several = sum(JOINT in name for name in names)
    facts = [
        f"{len(names)} perturbations ({several} of several genes) in {context.nunique()} contexts",
        f"{int((own == CONTROL).sum())} control cells", f"labels cut at {sep!r}" if sep else "one gene per label",
        f"{int(genes['measured'].sum())} of {len(genes)} perturbed genes are measured",
    ]  # fmt: skip
    few = n_cells[n_cells < FEW]
    return [*facts, f"{len(few)} conditions of fewer than {FEW} cells"] if len(few) else facts


def _say_spelling(unmeasured: list[str], names: pd.Index) -> None:
    """Point out perturbed genes that look like a measured one in another spelling."""
    if not unmeasured:
        return
    spelled = by_upper(names)
    found = {name: hit for name in unmeasured for hit in alike(name, spelled, n=1, cutoff=0.99)}
    if found:
        said = listing(f"{name} (measured: {hit})" for name, hit in found.items())
        logger.warning("perturbation_setup: perturbed genes in another spelling than measured ones: %s", said)
    logger.info("perturbation_setup: perturbed but not measured: %s", listing(unmeasured))
