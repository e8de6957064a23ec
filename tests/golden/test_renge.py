"""RENGE beside the original program and its published network, on the real 14,945 cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import norm

from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.systems.renge.fit import Fitted, explained, fit
from grnformer_sc.grn.systems.renge.model import Model, Shape, loss_and_gradient, terms_of
from grnformer_sc.grn.systems.renge.network import log_counts
from grnformer_sc.grn.systems.renge.significance import bootstrap_errors, q_values
from grnformer_sc.grn.systems.renge.sums import Design, Doses, Sums, doses_of, sums_of

pytestmark = [pytest.mark.golden, pytest.mark.realdata]
PUBLISHED = 1354  # links with q < .01


@dataclass(frozen=True)
class Cells:
    counts: Rows
    design: Design
    doses: Doses
    sums: Sums


@pytest.fixture(scope="module")
def oracle(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "renge" / "oracle.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def cells(golden_dir: Path) -> Cells:
    with np.load(golden_dir / "renge" / "hipsc_input.npz") as stored:
        counts = Rows(sp.csr_matrix(stored["counts"].astype(np.float32)))
        gene, time = stored["ko_gene_index"].astype(np.int64), stored["time"]
    knocked = np.unique(gene[gene >= 0])
    times, code = np.unique(time, return_inverse=True)
    knockout = np.where(gene >= 0, np.searchsorted(knocked, gene), knocked.size)
    design = Design(code, knockout, times.astype(np.float64), knocked)
    doses = doses_of(counts, log_counts, design)
    return Cells(counts, design, doses, sums_of(counts, log_counts, design, doses.dose))


@pytest.fixture(scope="module")
def shape(oracle: dict[str, np.ndarray]) -> Shape:
    penalty, l1_ratio, n_hops = oracle["hyper"]
    return Shape(penalty=float(penalty), l1_ratio=float(l1_ratio), n_hops=int(n_hops))


@pytest.fixture(scope="module")
def fitted(cells: Cells, shape: Shape) -> Fitted:
    return fit(terms_of(cells.sums), shape)


def errors_of(cells: Cells, shape: Shape, model: Model, n_bootstrap: int) -> np.ndarray:
    return bootstrap_errors(
        cells.counts,
        log_counts,
        cells.design,
        cells.doses.dose,
        shape,
        model.effect,
        n_bootstrap=n_bootstrap,
        root=0,
        n_jobs=1,
    )


@pytest.fixture(scope="module")
def errors(cells: Cells, shape: Shape, fitted: Fitted) -> np.ndarray:
    """Of the stored settings."""
    return errors_of(cells, shape, fitted.model, 30)


def off_diagonal(effect: np.ndarray) -> np.ndarray:
    return effect[~np.eye(len(effect), dtype=bool)]


def best(effect: np.ndarray, n: int) -> set[int]:
    return set(np.argsort(-np.abs(off_diagonal(effect)), kind="stable")[:n].tolist())


def test_the_weight_of_every_cell_is_the_originals(cells: Cells, oracle: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(-cells.doses.dose, oracle["x_value_minus_X_prep"], atol=1e-10)


def test_loss_and_gradient_are_the_originals(cells: Cells, oracle: dict[str, np.ndarray], shape: Shape) -> None:
    terms = terms_of(cells.sums)
    loss, gradient = loss_and_gradient(oracle["params_random"], terms, shape)
    largest = np.abs(oracle["grad_random_float64"]).max()
    assert loss == pytest.approx(float(oracle["loss_random_float64"]), rel=1e-10)
    assert np.abs(gradient - oracle["grad_random_float64"]).max() < 1e-10 * largest
    assert loss == pytest.approx(float(oracle["loss_random_original"]), rel=1e-6)  # a program in float32
    assert np.abs(gradient - oracle["grad_random_original"]).max() < 1e-6 * largest
    for penalty, l1_ratio, n_hops, _, expected in oracle["loss_other_hyperparameters"]:
        other = Shape(penalty=float(penalty), l1_ratio=float(l1_ratio), n_hops=int(n_hops))
        assert loss_and_gradient(oracle["params_random"], terms, other)[0] == pytest.approx(expected, rel=1e-10)


def test_r_squared_is_the_originals_score(cells: Cells, oracle: dict[str, np.ndarray], shape: Shape) -> None:
    model = Model.of_vector(oracle["params_fit_original"], 4, 103)
    assert explained(model, cells.sums, shape.n_hops) == pytest.approx(float(oracle["score_fit_original"]), abs=1e-7)


def test_the_fit_is_as_low_and_agrees_with_the_published_network(fitted: Fitted, oracle: dict[str, np.ndarray]) -> None:
    effect, published = fitted.model.effect, oracle["A_published"]
    assert fitted.loss <= 105.72
    assert np.corrcoef(off_diagonal(effect), off_diagonal(published))[0, 1] >= 0.98
    assert len(best(effect, 100) & best(published, 100)) >= 85
    assert np.corrcoef(off_diagonal(effect), off_diagonal(oracle["A_fit_original"]))[0, 1] >= 0.999


def test_most_of_the_published_links_are_called(
    fitted: Fitted, errors: np.ndarray, oracle: dict[str, np.ndarray]
) -> None:
    found, published = q_values(fitted.model.effect, errors) < 0.01, oracle["q_published"] < 0.01
    assert published.sum() == PUBLISHED
    assert (found & published).sum() >= 0.8 * PUBLISHED


def test_the_published_network_was_made_with_a_weaker_penalty(
    cells: Cells, fitted: Fitted, errors: np.ndarray, oracle: dict[str, np.ndarray], shape: Shape
) -> None:
    """So it has larger effects and larger errors than the stored settings give, and fewer links pass.

    At C = 0.22 effects have the published size, and the errors of knocked-out genes are those that the published q-values
    imply; at the stored C = 0.38 both are a quarter or a third too small.
    """
    published, implied = oracle["A_published"].astype(np.float64), implied_errors(oracle)
    weaker = Shape(penalty=0.22, l1_ratio=shape.l1_ratio, n_hops=shape.n_hops)
    model = fit(terms_of(cells.sums), weaker).model

    def slope(effect: np.ndarray) -> float:
        return float((effect * published).sum() / (effect**2).sum())

    assert slope(fitted.model.effect) > 1.25
    assert 0.95 < slope(model.effect) < 1.05
    assert np.corrcoef(off_diagonal(model.effect), off_diagonal(published))[0, 1] >= 0.99
    assert len(best(model.effect, 100) & best(published, 100)) >= 90
    known = np.isfinite(implied) & np.isin(np.arange(103), cells.design.knocked)
    assert np.median((implied / errors)[known]) > 1.35
    assert 0.85 < np.median((implied / errors_of(cells, weaker, model, 10))[known]) < 1.15


def implied_errors(oracle: dict[str, np.ndarray]) -> np.ndarray:
    """Standard errors behind the published q-values, where these are neither rounded to 0 nor close to 1."""
    q = off_diagonal(oracle["q_published"].astype(np.float64))
    place = np.empty(q.size)
    place[np.argsort(q, kind="stable")] = np.arange(1, q.size + 1)
    z = norm.isf(q * place / q.size / 2)
    out = np.full(oracle["A_published"].shape, np.nan)
    informative = (q > 1e-25) & (q < 0.5)
    size = np.abs(off_diagonal(oracle["A_published"].astype(np.float64)))
    out[~np.eye(len(out), dtype=bool)] = np.where(informative, size / np.where(informative, z, 1), np.nan)
    return out
