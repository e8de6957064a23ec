"""`tl.evaluate_drug_sensitivity`: predicted sensitivity beside known labels, and beside what knows nothing of the drug."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between, need_key
from .._core.inputs import open_rows, table_of
from .._core.keys import SensitivityKeys
from .._core.labels import binary_labels
from .._core.logging import step
from .._core.rng import RngLike, as_root, generator, seed_for
from .._core.rows import Rows
from .._core.warnings import MissingLabelsWarning, OneClassWarning, warn
from ..grn.embedding import log_normalise, pca_scores
from ..metrics import auc_interval, batch_confounding, label_agreement, roc_auc
from ..metrics._labels import confounding
from ..model.sensitivity import SensitivitySettings, predict_sensitivity
from ._sensitivity_inputs import features_of, labelled_lines, with_labels

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MANY = 20_000  # cells above which intervals come from the closed form
FIGURES = [
    "auc", "low", "high", "fold_mean", "fold_sd", "fold_low", "fold_high", "n", "n_positive", "n_folds", "batch_auc",
    "within_batch_auc",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of all cells; an oracle turns the sign so that the labels fit."""

    name: str
    kind: str
    values: np.ndarray
    oracle: bool = False


def evaluate_drug_sensitivity(
    adata: AnnData,
    labels: str | Mapping[str, str],
    *,
    reference: AnnData | None = None,
    fold_key: str | None = None,
    batch_key: str | None = None,
    target_genes: Mapping[str, str | Sequence[str]] | None = None,
    layer: str | None = None,
    n_permuted: int = 10,
    n_draws: int = 1000,
    rng: RngLike = 0,
) -> pd.DataFrame:
    """Judge predicted drug sensitivity by known labels of the cells, beside scores that know nothing of the drug.

    Areas under the ROC curve with intervals from drawing cells anew, over all cells and within folds. Beside each drug
    stand the class prior, library size, number of genes, the first principal component (whose sign is taken from the labels:
    an oracle), expression of the drug's targets, and the same method on lines whose labels were permuted. Label sets that
    are one, turned or not, and labels that follow the batch come with a warning.

    Parameters
    ----------
    adata
        Cells with predicted sensitivity (`grs.tl.drug_sensitivity`, or columns `sens_<drug>` of obs from elsewhere).
    labels
        Column of obs with known labels of each drug: `{"drug": "column"}`; a single name is both.
    reference
        The lines that were learnt from, for the control with permuted labels.
    fold_key
        Column of obs with folds, where scores come from several models.
    batch_key
        Column of obs with the batch of every cell.
    target_genes
        Genes that each drug targets.
    layer
        Layer of the cells; `None` is `.X`.
    n_permuted
        Permutations of the labels of the lines; the area of each, mean and range are shown.
    n_draws
        Draws of the bootstrap; above 20,000 cells the closed form of DeLong takes its place.
    rng
        Seed or Generator.

    Returns
    -------
    Table with a row per drug and score: `drug`, `score`, `kind` (`"ours"`, `"baseline"`, `"control"`), `oracle`, the
    figures of `grs.metrics.auc_interval` (of permutations: mean area, and the range that holds 95 % of them), `batch_auc`
    and `within_batch_auc` (`grs.metrics.batch_confounding`). What is undefined is NaN.

    Raises
    ------
    KeyError
        A column, a prediction or a gene does not exist.
    ValueError
        Labels are not binary.

    Warns
    -----
    InvertedLabelsWarning
        Two drugs have the same labels, or the same turned round.
    ConfoundedLabelsWarning
        The batch gives the labels away.
    OneClassWarning
        All labels of a drug are equal: its areas are NaN.
    MissingLabelsWarning
        Cells without a label are left out.

    See Also
    --------
    grnformer_sc.tl.drug_sensitivity : predict it.
    grnformer_sc.pl.drug_sensitivity : ROC curve and violins.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(80, 100, n_genes=60, n_tfs=8, rng=0)
    >>> grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=1)
    >>> table = grs.tl.evaluate_drug_sensitivity(cells, "drug1", n_draws=50)
    >>> table["score"].tolist()[:3]
    ['sens_drug1', 'class prior', 'library size']
    """
    need_between(n_permuted, 0, 10_000, name="n_permuted")
    named = {labels: labels} if isinstance(labels, str) else dict(labels)
    obs, root = table_of(adata.obs), as_root(rng)
    known = pd.DataFrame(
        {drug: binary_labels(obs, column, where="adata.obs") for drug, column in named.items()}, index=obs.index
    )
    columns = {drug: SensitivityKeys.for_drug(drug).obs for drug in named}
    for drug, column in columns.items():
        need_key(obs, column, where="adata.obs", fix=f"run grs.tl.drug_sensitivity(adata, lines, drug={drug!r}) first.")
    for name in (fold_key, batch_key):
        if name is not None:
            need_key(obs, name, where="adata.obs", fix="name a column of obs.")
    label_agreement(known)
    folds, batches = (None if name is None else obs[name] for name in (fold_key, batch_key))
    rows = []
    with step(logger, "evaluate_drug_sensitivity") as facts:
        cells = open_rows(adata, layer, what="expression of the cells", counts=False)
        common = list(common_scores(adata, cells, root))
        for drug in named:
            y = known[drug].to_numpy()
            _check_classes(drug, y)
            if batches is not None:
                batch_confounding(y, batches)
            own = Score(columns[drug], "ours", obs[columns[drug]].to_numpy(dtype=np.float64))
            targets = _target(adata, cells, drug, target_genes)
            for score in (own, *common, *targets):
                figures = _figures(y, score, folds, batches, n_draws, root)
                rows.append({"drug": drug, "score": score.name, "kind": score.kind, "oracle": score.oracle} | figures)
            if reference is not None and n_permuted:
                rows.append(_permuted(adata, reference, drug, y, n_permuted, root))
        table = pd.DataFrame(rows).reindex(columns=["drug", "score", "kind", "oracle", *FIGURES])
        facts.append(_summary(table))
    return table


def _check_classes(drug: str, y: np.ndarray) -> None:
    n_missing, classes = int(np.isnan(y).sum()), np.unique(y[~np.isnan(y)])
    if n_missing:
        warn(
            MissingLabelsWarning, f"Every cell should have a label for {drug!r}.", f"{n_missing} of {y.size} without.",
            "these cells are left out; say so beside the figures.",
        )  # fmt: skip
    if classes.size < 2:
        warn(
            OneClassWarning, f"Cells of both classes are needed to judge {drug!r}.", f"labels {classes.tolist()}.",
            "areas are NaN; use cells of both classes.",
        )  # fmt: skip


def common_scores(adata: AnnData, cells: Rows, root: int) -> Iterator[Score]:
    """Scores that no drug has a part in."""
    total, n_genes = np.empty(adata.n_obs), np.empty(adata.n_obs)
    for first, block in cells.blocks():
        rows = slice(first, first + block.shape[0])
        total[rows], n_genes[rows] = np.asarray(block.sum(axis=1)).ravel(), np.diff(block.indptr)
    yield Score("class prior", "baseline", np.zeros(adata.n_obs))
    yield Score("library size", "baseline", total)
    yield Score("number of genes", "baseline", n_genes)
    component = pca_scores(cells, n_comps=1, seed=seed_for(root, "pc") % 2**32)[0][:, 0]
    yield Score("first component", "baseline", component.astype(np.float64), oracle=True)


def _target(adata: AnnData, cells: Rows, drug: str, genes: Mapping[str, str | Sequence[str]] | None) -> Iterator[Score]:
    """Mean log expression of the genes that the drug targets."""
    if genes is None or drug not in genes:
        return
    given = genes[drug]
    names = [given] if isinstance(given, str) else list(given)
    place = adata.var_names.get_indexer(pd.Index(names))
    if (place < 0).any():
        lost = [name for name, at in zip(names, place, strict=True) if at < 0]
        raise fail(
            KeyError, f"targets of {drug!r} must be genes of the cells.", f"unknown {listing(lost)}.",
            "use the gene names of the data, or leave them out.",
        )  # fmt: skip
    parts = [
        np.asarray(sp.csr_matrix(log_normalise(block))[:, place].mean(axis=1)).ravel() for _, block in cells.blocks()
    ]
    yield Score(f"expression of {', '.join(names)}", "baseline", np.concatenate(parts).astype(np.float64))


def _figures(
    y: np.ndarray, score: Score, folds: pd.Series | None, batches: pd.Series | None, n_draws: int, root: int
) -> dict[str, float]:
    values = score.values
    if score.oracle and roc_auc(y, values) < 0.5:
        values = -values
    many = y.size > MANY and folds is None
    found = auc_interval(
        y, values, folds=folds, n_draws=n_draws, method="delong" if many else "bootstrap", rng=seed_for(root, "auc")
    )
    out = {str(name): float(value) for name, value in found.items()}
    if batches is not None:
        figures, _ = confounding(y, batches, values)  # `batch_confounding` has warned
        out |= {"batch_auc": float(figures["batch_auc"]), "within_batch_auc": float(figures["within_auc"])}
    return out


def _permuted(adata: AnnData, reference: AnnData, drug: str, y: np.ndarray, n: int, root: int) -> dict[str, Any]:
    """The same method on lines whose labels were exchanged."""
    keys = SensitivityKeys.for_drug(drug)
    need_key(adata.uns, keys.uns, where="adata.uns", fix="leave reference out: this prediction is not from here.")
    params = adata.uns[keys.uns]["params"]
    use_rep, layer = str(params["use_rep"]) or None, str(params["inputs"]["cells"])
    labels = labelled_lines(reference, drug, int(params["n_splits"]))
    features, _ = features_of(
        adata, reference, use_rep=use_rep, ranks=params["method"] == "rank_ridge",
        layer=None if use_rep is not None or layer == "X" else layer, key=str(params["network"]) or "grn",
    )  # fmt: skip
    features, own = with_labels(features, labels)
    areas = []
    for number in range(n):
        chosen = SensitivitySettings(
            method=str(params["method"]), lambda_domain=float(params["lambda_domain"]),  # type: ignore[arg-type]
            n_splits=int(params["n_splits"]), n_seeds=1, root=seed_for(root, "permuted", number),
            device=str(params["device"]),
        )  # fmt: skip
        mixed = generator(root, "labels", number).permutation(own)
        areas.append(roc_auc(y, predict_sensitivity(features, mixed, chosen, judge_domain=False).cells[:, 0]))
    known = np.array(areas)
    low, high = (np.nan, np.nan) if np.isnan(known).all() else np.nanquantile(known, [0.025, 0.975])
    return {
        "drug": drug, "score": f"labels of lines permuted ({n} times)", "kind": "control", "oracle": False,
        "auc": float(known.mean()), "low": float(low), "high": float(high), "n": float((~np.isnan(y)).sum()),
        "n_positive": float(np.nansum(y)),
    }  # fmt: skip


def _summary(table: pd.DataFrame) -> str:
    """Ours beside the best of the others, per drug."""
    parts = []
    for drug, rows in table.groupby("drug", sort=False):
        ours = rows.loc[rows["kind"] == "ours", "auc"].iloc[0]
        others = rows[(rows["kind"] == "baseline") & rows["auc"].notna()]
        best = (
            ""
            if others.empty
            else f", best baseline {others['auc'].max():.3f} ({others.loc[others['auc'].idxmax(), 'score']})"
        )
        parts.append(f"{drug}: AUC {ours:.3f}{best}")
    return "; ".join(parts)
