"""`pp.harmonize_genes`: bring gene names to those of an annotation, a TF list or another species."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between, need_key, need_one_of, need_unique
from .._core.inputs import as_mudata, resolve, table_of
from .._core.keys import HARMONIZED
from .._core.logging import step
from .._core.params import recipe
from ..priors import guess_species
from ..priors._gene_goal import Goal, read_goal
from ..priors._genes import LOST, WAYS, match_names

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

CHECKED = 256  # cells in which logarithms would be seen

Merge = Literal["sum", "best"]
Unmatched = Literal["keep", "drop"]
VAR_COLUMNS = (
    "gene_ids", "gene_id", "ensembl_id", "ensembl_gene_id", "feature_id", "feature_name", "gene_symbols", "gene_symbol",
    "gene_name", "gene_names", "symbol", "symbols", "name",
)  # fmt: skip
SHOWN = 20  # unmatched names in the error


def harmonize_genes(
    data: Any,
    *,
    to: Any = None,
    aliases: Any = None,
    orthologs: Any = None,
    column: str | None = None,
    species: str | None = None,
    min_share: float = 0.5,
    merge: Merge = "sum",
    unmatched: Unmatched = "keep",
    rna: str = "rna",
) -> Any:
    """Bring gene names to the names of a target: an annotation, the TFs of a motif collection, a prior network.

    A name is matched by the surest of these ways: equal; equal without blanks; Ensembl id without version; copy that
    `var_names_make_unique` numbered; id, previous symbol, alias from `aliases`; letter case. A name that leads to several
    targets is left unmatched. Letter case is not used between two species (human GAD1, mouse Gad1): that takes `orthologs`.

    Parameters
    ----------
    data
        AnnData, MuData or a pair (rna, atac).
    to
        Names to reach: a list or Index, a table of gene positions or its file (GTF, GFF3, BED; a GTF also tells which id
        has which symbol), or `"symbol"` for all symbols of `aliases`. With `orthologs`, `None` means all its names.
    aliases
        Other names of genes: dict alias -> symbol, or a table or file with a symbol column and any of `alias_symbol`,
        `prev_symbol`, `ensembl_gene_id`, `hgnc_id` (the columns of HGNC's complete set). None is packaged.
    orthologs
        Genes of the data's species and of the target's: dict or a table with two columns (from, to). A gene with several
        orthologs in the target takes the one of the same spelling, else none; genes with one ortholog are merged.
    column
        Column of var with the names to match; by default var_names, or a known column (`gene_ids`, `feature_name`, ...)
        where it matches more.
    species
        Species of the data, where the guess from its names is wrong.
    min_share
        Least share of the genes, or of the target where that is shorter, that must be matched.
    merge
        Genes that reach the same name: `"sum"` adds their counts, `"best"` keeps the surest match (then the most counts).
    unmatched
        `"keep"` leaves genes without a match under their old name (unless the target has that name for another gene),
        `"drop"` takes them out.
    rna
        Name of the modality with the genes.

    Returns
    -------
    A new object of the same kind; the input stays as it was. Sets in its RNA:

    `var["name_before"]` : name in the input (of merged genes the best match)
    `uns["harmonize_genes"]` : `params`, `counts` (genes per way of matching), `genes` (before, after, way)

    `X` and all layers are summed; var, varm and varp of merged genes are those of the best match; `.raw` is left as it is.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Fewer than `min_share` match; the message names the most expressed unmatched genes and the likely reason.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    >>> old = dict(zip(["old" + name for name in rna.var_names], rna.var_names))
    >>> target, rna.var_names = rna.var_names, list(old)
    >>> new = grs.pp.harmonize_genes(rna, to=target, aliases=old)
    >>> new.var_names.equals(target), int(new.uns["harmonize_genes"]["counts"].loc["alias", "n"])
    (True, 60)
    """
    need_one_of(merge, ("sum", "best"), name="merge")
    need_one_of(unmatched, ("keep", "drop"), name="unmatched")
    need_between(min_share, 0, 1, name="min_share")
    rna_data = _find_rna(data, rna)
    goal = read_goal(to, aliases, orthologs)
    with step(logger, "harmonize genes") as facts:
        found, used, case = _best_source(rna_data, goal, column, species)
        n_found = int((found["after"] != "").sum())
        share = max(n_found / max(len(found), 1), found.loc[found["after"] != "", "after"].nunique() / len(goal.target))
        counts = found["way"].value_counts().reindex([*WAYS, *LOST], fill_value=0)
        facts.append(f"{used}: " + ", ".join(f"{n} {way}" for way, n in counts.items() if n))
        if n_found == 0 or share < min_share:
            raise _too_few(rna_data, found, goal, share, min_share, case=case)
        keep = np.ones(len(found), bool) if unmatched == "keep" else (found["after"] != "").to_numpy()
        old = rna_data.var_names.astype(str)
        clash = ((found["after"] == "") & old.isin(goal.target)).to_numpy() & keep
        keep &= ~clash
        found["after"] = found["after"].where(found["after"] != "", old)
        out, n_merged = _renamed(rna_data, found, keep, merge)
        if clash.any():
            facts.append(f"{clash.sum()} taken out, as their old name is another gene's in the target")
        facts.append(f"{n_merged} merged; {rna_data.n_vars} -> {out.n_vars} genes")
    table = pd.DataFrame({"n": [*counts.to_list(), n_merged]}, index=[*counts.index, "merged"])
    params = {"column": used, "species": species, "min_share": min_share, "merge": merge, "unmatched": unmatched}
    record = recipe("harmonize_genes", params, inputs={"var": used}, dropped={"genes": int((~keep).sum())})
    found.index = found.index.astype(str)
    out.uns[HARMONIZED] = {"params": record, "counts": table, "genes": found}
    return _like(data, out, rna)


def _find_rna(data: Any, rna: str) -> AnnData:
    """RNA of any input; whether ATAC holds the same cells plays no part here."""
    if isinstance(data, tuple) and len(data) == 2:
        return resolve(data[0])[0]
    return resolve(data.mod[rna] if hasattr(data, "mod") and rna in data.mod else data, rna)[0]


def _like(data: Any, out: AnnData, rna: str) -> Any:
    if isinstance(data, tuple):
        return out, data[1].copy()
    if not hasattr(data, "mod"):
        return out
    made = as_mudata({name: out if name == rna else part.copy() for name, part in data.mod.items()})
    made.obs = data.obs.reindex(made.obs_names)
    made.uns.update(dict(data.uns))
    return made


def _best_source(adata: AnnData, goal: Goal, column: str | None, species: str | None) -> tuple[pd.DataFrame, str, bool]:
    """Match var_names or the column of var that matches most."""
    var = table_of(adata.var)
    need_unique(adata.var_names, what="gene names (var_names)")
    if column is not None:
        need_key(var, column, where="rna.var", fix="name a column that exists.")
        sources = {f"var[{column!r}]": var[column]}
    else:
        sources = {"var_names": adata.var_names, **{f"var[{c!r}]": var[c] for c in VAR_COLUMNS if c in var}}
    there = guess_species(goal.target if goal.orthologs is None else goal.orthologs.table["key"])[0]
    best: tuple[pd.DataFrame, str, bool] | None = None
    most = -1
    for label, values in sources.items():
        names = pd.Index(pd.Series(np.asarray(values)).astype(object).fillna("").astype(str))
        here = species or guess_species(names)[0]
        case = "unknown" in (here, there) or here == there
        found = match_names(names, goal.target, synonyms=goal.synonyms, orthologs=goal.orthologs, case=case)
        if (n := int((found["after"] != "").sum())) > most:
            best, most = (found, label, case), n
    if best is None:
        raise fail(ValueError, "the data need gene names.", "none.", "set var_names.")
    return best


def _renamed(adata: AnnData, found: pd.DataFrame, keep: np.ndarray, merge: Merge) -> tuple[AnnData, int]:
    """Genes under their new names; counts of genes that share one are summed, or the best is kept."""
    total = _totals(adata)
    rank = found["way"].map({way: i for i, way in enumerate([*WAYS, *LOST])}).to_numpy()
    order = np.lexsort((-total, rank))
    order = order[keep[order]]
    codes = pd.factorize(found["after"])[0]
    best = np.sort(order[np.unique(codes[order], return_index=True)[1]])
    n_merged = int(keep.sum()) - best.size
    backed = getattr(adata, "isbacked", False)
    out = adata[:, best].to_memory() if backed else adata[:, best].copy()
    if n_merged and merge == "sum":
        place = np.full(codes.max() + 1, -1)
        place[codes[best]] = np.arange(best.size)
        rows = np.flatnonzero(keep)
        pool = sp.csr_matrix((np.ones(rows.size), (rows, place[codes[rows]])), (adata.n_vars, best.size))
        _warn_of_logs(adata, n_merged)
        if adata.X is not None:
            out.X = _summed(adata.X, pool)
        for name in adata.layers:
            out.layers[name] = _summed(adata.layers[name], pool)
    out.var_names = pd.Index(found["after"].to_numpy()[best].astype(str))
    out.var["name_before"] = found["before"].to_numpy()[best].astype(str)
    return out, n_merged


def _warn_of_logs(adata: AnnData, n_merged: int) -> None:
    """Values that are no counts are summed too, which for logarithms means nothing."""
    named = {"X": adata.X, **{f"layers[{name!r}]": adata.layers[name] for name in adata.layers}}
    logs = [name for name, x in named.items() if x is not None and (_values(x[:CHECKED]) % 1 != 0).any()]
    if logs:
        logger.warning(
            "harmonize_genes: %d genes were merged by summing, and %s holds no counts: sums of logarithms mean nothing. "
            "Bring names together before normalising, or pass merge='best'", n_merged, " and ".join(logs),
        )  # fmt: skip


def _loaded(x: Any) -> Any:
    """A matrix in memory."""
    return x.to_memory() if hasattr(x, "to_memory") else x.compute() if hasattr(x, "compute") else x


def _values(x: Any) -> np.ndarray:
    x = _loaded(x)
    return np.asarray(x.data if sp.issparse(x) else x, dtype=np.float64)


def _summed(x: Any, pool: sp.csr_matrix) -> Any:
    x = _loaded(x)
    weights = pool.astype(x.dtype)
    return sp.csr_matrix(x @ weights) if sp.issparse(x) else np.asarray((weights.T @ np.asarray(x).T).T)


def _totals(adata: AnnData) -> np.ndarray:
    if adata.X is None:
        return np.zeros(adata.n_vars)
    x = _loaded(adata.X)
    return np.asarray(x.sum(axis=0), dtype=np.float64).ravel()


def _too_few(adata: AnnData, found: pd.DataFrame, goal: Goal, share: float, least: float, *, case: bool) -> Exception:
    lost = np.flatnonzero(found["after"] == "")
    top = lost[np.argsort(-_totals(adata)[lost], kind="stable")]
    names = pd.Index(found["before"])
    ids = names.str.fullmatch(r"ENS[A-Z]*G\d{11}(\.\d+)?").mean() > 0.5
    target_ids = pd.Index(goal.target).str.fullmatch(r"ENS[A-Z]*G\d{11}(\.\d+)?").mean() > 0.5
    here = guess_species(names)[0]
    there = guess_species(goal.target if goal.orthologs is None else goal.orthologs.table["key"])[0]
    if not case:
        fix = (
            f"the data look like {here}, the target like {there}: use a target of your species, pass orthologs=<table from, "
            "to>, or name the data's species with species=."
        )
    elif ids != target_ids:
        kinds = ("Ensembl ids", "symbols") if ids else ("symbols", "Ensembl ids")
        fix = f"the data hold {kinds[0]}, the target {kinds[1]}: pass aliases=<table of ids and symbols> or column=."
    else:
        fix = (
            "pass aliases=<table of former names and aliases>, name another column of var with column=, or lower min_share= "
            "where the target is a part of the genes, such as a list of TFs."
        )
    return fail(
        ValueError, f"at least {least:.0%} of the genes (or of the target, where shorter) must match.",
        f"{share:.1%}; {len(found) - lost.size} of {len(found)} genes, {len(goal.target)} target names "
        f"{listing(goal.target, 5)}; unmatched, most expressed first: {listing(names[top], SHOWN)}.", fix,
    )  # fmt: skip
