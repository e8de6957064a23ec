"""What a model of drug response is fitted to: responses, features of lines, similarity of drugs, folds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from .._core.checks import fail, listing, nearest, need_between, need_key, need_one_of
from .._core.inputs import find_group
from .._core.keys import DRUG_RESPONSE
from ..get._read import network_of
from ..grn.drug.folds import SPLITS, Split, folds_of
from ..grn.drug.kernels import FEWEST_TARGETS, gaussian, regulon_scores, smoothed, tanimoto
from ..priors._drug_structure import morgan_fingerprints

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

DrugRep: TypeAlias = str | np.ndarray | pd.DataFrame
Splitting: TypeAlias = str | pd.Series | pd.DataFrame | Mapping[str, int]
NETWORK_REPS = ("regulons", "smoothed")
LEAST_GAIN = 1e-12


@dataclass(frozen=True, slots=True)
class Responses:
    """Measured responses, as `pp.drug_response_setup` stored them."""

    values: Float[np.ndarray, "lines drugs"]
    known: Bool[np.ndarray, "lines drugs"]
    drugs: pd.DataFrame

    @property
    def names(self) -> pd.Index:
        """Names of the drugs."""
        return pd.Index(self.drugs["drug"].astype(str))


def responses_of(adata: AnnData) -> Responses:
    """Read the stored responses."""
    fix = "run grs.pp.drug_response_setup(adata, table) first."
    need_key(adata.obsm, DRUG_RESPONSE, where="adata.obsm", fix=fix)
    need_key(adata.uns, DRUG_RESPONSE, where="adata.uns", fix=fix)
    values = np.asarray(adata.obsm[DRUG_RESPONSE], dtype=np.float64)
    known = np.isfinite(values)
    if not known.any() or float(np.ptp(values[known])) < LEAST_GAIN:
        raise fail(
            ValueError, "responses of these lines must differ.",
            "no value." if not known.any() else f"all {int(known.sum())} are {values[known][0]:g}.",
            "check which lines and values are given.",
        )  # fmt: skip
    return Responses(values, known, adata.uns[DRUG_RESPONSE]["drugs"])


def features_of(
    adata: AnnData, names: Sequence[str], key: str, layer: str | None
) -> list[Float[np.ndarray, "lines _"]]:
    """Features of the lines, one matrix per representation."""
    return [_features(adata, name, key, layer) for name in names]


def _features(adata: AnnData, name: str, key: str, layer: str | None) -> Float[np.ndarray, "lines _"]:
    if name in NETWORK_REPS:
        x = _dense(adata, "X", layer)
        return regulon_scores(x, _regulons(adata, key)) if name == "regulons" else smoothed(x, _links(adata, key))
    return _dense(adata, name, layer)


def _dense(adata: AnnData, name: str, layer: str | None) -> Float[np.ndarray, "lines _"]:
    if name != "X":
        fix = f"name one of them, 'X', or {listing(NETWORK_REPS)} of a stored network with use_rep=."
        need_key(adata.obsm, name, where="adata.obsm", fix=fix)
    if name == "X" and layer is not None:
        need_key(adata.layers, layer, where="adata.layers", fix="name an existing layer, or None for .X.")
    found = adata.obsm[name] if name != "X" else adata.X if layer is None else adata.layers[layer]
    x = np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float64)
    if not np.isfinite(x).all():
        bad = ~np.isfinite(x).all(axis=1)
        raise fail(
            ValueError, f"features of lines ({name}) must be finite.",
            f"missing values in {int(bad.sum())} lines: {listing(adata.obs_names[bad], 3)}.",
            "drop these lines, or fill the values.",
        )  # fmt: skip
    if np.ptp(x, axis=0).max(initial=0) < LEAST_GAIN:
        raise fail(ValueError, f"features of lines ({name}) must differ.", "equal values.", "give other features.")
    return x


def _signed_links(adata: AnnData, key: str) -> tuple[pd.DataFrame, pd.Index]:
    """Distinct TF-gene links among the genes of the data, with their sign."""
    edges = network_of(adata, key).edges
    table = pd.DataFrame(
        {"tf": edges["tf"].astype(str), "gene": edges["gene"].astype(str), "sign": edges["sign"].astype(float)}
    )
    genes = adata.var_names
    found = table[table["gene"].isin(genes) & (table["tf"] != table["gene"])]
    if found.empty:
        raise fail(
            KeyError, f"targets of the network uns[{key!r}] must be genes of the data.",
            f"{nearest(table['gene'].unique(), genes)}.", "use the same gene names, see grs.pp.harmonize_genes.",
        )  # fmt: skip
    table = found.groupby(["tf", "gene"], as_index=False)["sign"].sum()
    return table[table["sign"] != 0], genes


def _regulons(adata: AnnData, key: str) -> Float[np.ndarray, "tfs genes"]:
    links, genes = _signed_links(adata, key)
    tfs = pd.Index(sorted(links["tf"].unique()))
    out = np.zeros((tfs.size, genes.size))
    out[tfs.get_indexer(links["tf"]), genes.get_indexer(links["gene"])] = np.sign(links["sign"])
    n_kept = int((np.abs(out).sum(axis=1) >= FEWEST_TARGETS).sum())
    if not n_kept:
        raise fail(
            ValueError, f"a regulon needs {FEWEST_TARGETS} targets among the genes of the data.",
            f"{tfs.size} TFs with fewer.", "use a larger network, or use_rep='smoothed'.",
        )  # fmt: skip
    logger.info("drug_response: %d of %d regulons of uns[%r] have enough targets here", n_kept, tfs.size, key)
    return out


def _links(adata: AnnData, key: str) -> sp.csr_matrix:
    links, genes = _signed_links(adata, key)
    here = links[links["tf"].isin(genes)]
    if here.empty:
        raise fail(
            KeyError, f"smoothing needs TFs of the network uns[{key!r}] among the genes of the data.",
            f"{nearest(links['tf'].unique(), genes)}.", "use_rep='regulons' needs targets alone.",
        )  # fmt: skip
    logger.info("drug_response: expression is smoothed along %d links of uns[%r]", len(here), key)
    place = genes.get_indexer(here["tf"]), genes.get_indexer(here["gene"])
    return sp.csr_matrix((np.sign(here["sign"].to_numpy()), place), (genes.size, genes.size))


def drug_kernel(responses: Responses, rep: DrugRep) -> Float[np.ndarray, "drugs drugs"] | None:
    """Similarity of drugs; None where they are names only."""
    if isinstance(rep, str):
        need_one_of(rep, ("id", "morgan"), name="drug_rep")
        return None if rep == "id" else tanimoto(morgan_fingerprints(structures_of(responses)))
    if isinstance(rep, pd.DataFrame):
        lost = responses.names.difference(rep.index.astype(str))
        if len(lost):
            raise fail(
                KeyError, "drug_rep needs a row for every drug.", f"none for {nearest(lost, rep.index)}.",
                "add the rows, or leave these drugs out.",
            )  # fmt: skip
        rep = rep.set_axis(rep.index.astype(str)).loc[responses.names].to_numpy(dtype=np.float64)
    features = np.asarray(rep, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(responses.names) or not np.isfinite(features).all():
        raise fail(
            ValueError, f"drug_rep must hold finite features of the {len(responses.names)} drugs of "
            "uns['drug_response'], in their order.", f"shape {features.shape}.", "give a DataFrame by drug name.",
        )  # fmt: skip
    return gaussian(features)


def structures_of(responses: Responses) -> dict[str, str]:
    """SMILES by drug; a drug without one is a named error."""
    smiles = responses.drugs["smiles"].astype(str).to_numpy()
    lost = responses.names[smiles == ""]
    if len(lost):
        raise fail(
            ValueError, "this needs the structure of every drug.", f"none for {len(lost)} drugs: {listing(lost)}.",
            "give smiles= to grs.pp.drug_response_setup, or leave these drugs out of its table.",
        )  # fmt: skip
    return dict(zip(responses.names, smiles, strict=True))


@dataclass(frozen=True, slots=True)
class Folds:
    """Fold of every pair (-1: never held out), of which kind they are, and groups of lines."""

    fold: Int[np.ndarray, "lines drugs"]
    kind: Split
    groups: np.ndarray | None
    name: str


def make_folds(
    adata: AnnData,
    responses: Responses,
    split: Splitting,
    *,
    groups: str | None,
    n_splits: int,
    rng: np.random.Generator,
) -> Folds:
    """Draw the folds, or take the user's."""
    if not isinstance(split, str):
        return _given(adata.obs_names, responses, split)
    need_one_of(split, SPLITS, name="split")
    need_between(n_splits, 2, 1000, name="n_splits")
    labels = None
    if split == "group":
        if groups is None:
            raise fail(
                ValueError, "split='group' needs groups of lines.", "groups=None.", "name a column of obs with groups=."
            )
        labels = find_group(adata, adata, None, groups, option="groups").astype(str).to_numpy()
    kind = cast("Split", split)
    fold = folds_of(kind, responses.known, n_splits=n_splits, groups=labels, rng=rng)
    return Folds(fold, kind, labels, split)


def _given(lines: pd.Index, responses: Responses, split: pd.Series | pd.DataFrame | Mapping[str, int]) -> Folds:
    """Folds by line (Series, mapping) or by pair (table `line`, `drug`, `fold`)."""
    by_pair = isinstance(split, pd.DataFrame)
    table = (
        split if isinstance(split, pd.DataFrame) else pd.Series(split).rename("fold").rename_axis("line").reset_index()
    )
    unit = ["line", "drug"] if by_pair else ["line"]
    for name in (*unit, "fold"):
        need_key(table, name, where="split", fix="give a table of line, drug, fold.")
    table = table[[*unit, "fold"]].drop_duplicates()
    table = table.astype(dict.fromkeys(unit, str))
    twice = table[table.duplicated(unit)]
    if len(twice):
        what = "a pair" if by_pair else "a line"
        raise fail(
            ValueError, f"{what} must be in one fold.", f"{len(twice)} in two, such as {twice[unit].iloc[0].tolist()}.",
            "keep one fold of each.",
        )  # fmt: skip
    row, column = lines.get_indexer(table["line"]), np.zeros(len(table), dtype=np.int64)
    if by_pair:
        column = responses.names.get_indexer(table["drug"])
    for place, known, name in ((row, lines, "line"), (column, responses.names, "drug")):
        if (place < 0).any():
            lost = table[name][place < 0].unique()
            raise fail(
                KeyError, f"split must name a {name} of the data.", f"{nearest(lost, known)}.", "correct the names."
            )
    number = pd.factorize(table["fold"], sort=True)[0]
    fold = np.full(responses.known.shape, -1)
    if by_pair:
        fold[row, column] = number
    else:
        fold[row] = number[:, None]
    fold[~responses.known] = -1
    if (fold < 0).all():
        raise fail(ValueError, "split must hold out measured pairs.", "none of them is measured.", "check the names.")
    return Folds(fold, _kind(fold, responses.known), None, "given")


def _kind(fold: Int[np.ndarray, "lines drugs"], known: Bool[np.ndarray, "lines drugs"]) -> Split:
    """What is unseen when a fold is held out."""
    cold_lines = cold_drugs = False
    for number in range(int(fold.max()) + 1):
        test = fold == number
        train = known & ~test
        cold_lines |= bool((test.any(axis=1) & ~train.any(axis=1)).any())
        cold_drugs |= bool((test.any(axis=0) & ~train.any(axis=0)).any())
    kinds: dict[tuple[bool, bool], Split] = {
        (False, False): "pair", (True, False): "line", (False, True): "drug", (True, True): "both",
    }  # fmt: skip
    return kinds[cold_lines, cold_drugs]


def names_of(use_rep: Any) -> list[str]:
    """Names of the representations, each once."""
    names = [use_rep] if isinstance(use_rep, str) else [str(name) for name in use_rep]
    if not names or len(set(names)) < len(names):
        raise fail(
            ValueError, "use_rep must name representations, each once.", f"{names}.", "give 'X', or keys of obsm."
        )
    return names
