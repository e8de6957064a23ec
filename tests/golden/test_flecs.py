"""FLeCS beside the original program, on real cells: derivatives, trajectories, and weights after 35 steps of Adam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from grnformer_sc.grn.systems.flecs.model import Links, Parameters, Wired, integrate, slope_of
from grnformer_sc.grn.systems.flecs.training import Trained, Training, train
from grnformer_sc.grn.systems.flecs.trajectories import Paths

pytestmark = [pytest.mark.golden, pytest.mark.realdata]
BATCHES = [[np.arange(32) + 32 * number for number in range(7)]] * 5  # in order, the last 16 trajectories left out
STEP = 1 / 8


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "flecs" / "flecs_hipsc.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def links(stored: dict[str, np.ndarray]) -> Links:
    """Those that the original uses, in its order."""
    source, target = stored["edges_model"].astype(np.int64).T
    return Links(source, target, 103)


@pytest.fixture(scope="module")
def directed(stored: dict[str, np.ndarray]) -> Links:
    """Those that it was given."""
    source, target = stored["grn_directed"].astype(np.int64).T
    return Links(source, target, 103)


@pytest.fixture(scope="module")
def start(stored: dict[str, np.ndarray]) -> Parameters:
    return Parameters(*(stored[f"init_{name}"].ravel() for name in ("simple_conv_weights", "bias", "alpha")))


@pytest.fixture(scope="module")
def paths(stored: dict[str, np.ndarray]) -> Paths:
    cells = stored["trajectory_cell_index"].astype(np.int64)
    x = sp.csr_matrix(np.log1p(stored["counts"].astype(np.float32)))
    return Paths(x, cells, np.arange(4.0), np.full(len(cells), -1))


@pytest.fixture(scope="module")
def trained(links: Links, start: Parameters, paths: Paths) -> Trained:
    return train(links, start, paths, BATCHES, Training(lr=0.005, max_step=STEP))


def pairs(links: Links) -> set[tuple[int, int]]:
    return set(zip(links.source.tolist(), links.target.tolist(), strict=True))


def test_the_original_adds_the_reverse_of_every_link(links: Links, directed: Links) -> None:
    assert len(pairs(directed)) == 1092
    assert len(pairs(links)) == 2061
    assert pairs(directed.symmetrized()) == pairs(links)


@pytest.mark.parametrize("dense", [True, False])
def test_derivatives_are_the_originals(
    links: Links, start: Parameters, paths: Paths, stored: dict[str, np.ndarray], dense: bool
) -> None:
    x = torch.from_numpy(paths.expression[:32].toarray())
    found = slope_of(Wired(links, dense=dense), *start.tensors())(x)
    np.testing.assert_allclose(found.numpy(), stored["derivative_first32_initial"], atol=1.2e-7, rtol=0)


def test_trajectories_are_the_originals(
    links: Links, start: Parameters, paths: Paths, stored: dict[str, np.ndarray]
) -> None:
    """Its solver adapts its steps to an error; ours are of fourth order: half the step, a sixteenth of the error."""
    x = torch.from_numpy(paths.expression[:32].toarray())
    slope = slope_of(Wired(links), *start.tensors())
    found = integrate(slope, x, np.arange(5.0), 1 / 4)
    np.testing.assert_allclose(found.numpy(), stored["trajectory_first32_initial"], atol=1.5e-5, rtol=0)
    exact = slope_of(Wired(links), *(part.double() for part in start.tensors()))
    finest, half, whole = (integrate(exact, x.double(), np.arange(5.0), step) for step in (1 / 64, 1 / 8, 1 / 4))
    assert 10 < (whole - finest).abs().max() / (half - finest).abs().max() < 22


def test_weights_after_35_steps_are_the_originals(trained: Trained, stored: dict[str, np.ndarray]) -> None:
    found = trained.parameters
    for name, value in (("simple_conv_weights", found.weight), ("bias", found.bias), ("alpha", found.alpha)):
        np.testing.assert_allclose(value, stored[f"trained_{name}"].ravel(), atol=2e-7, rtol=0)
    np.testing.assert_allclose(trained.losses, stored["loss_per_epoch"], atol=2e-7, rtol=0)


def test_the_step_of_the_default_moves_weights_by_less_than_a_millionth(
    links: Links, start: Parameters, paths: Paths, trained: Trained
) -> None:
    coarse = train(links, start, paths, BATCHES, Training(lr=0.005, max_step=1 / 4)).parameters
    assert np.abs(coarse.weight - trained.parameters.weight).max() < 1e-6


def test_directed_links_are_trained_without_their_reverse(
    links: Links, directed: Links, start: Parameters, paths: Paths, trained: Trained
) -> None:
    """Not a subset of the same weights: what the reverse links carried has to go elsewhere."""
    place = {pair: number for number, pair in enumerate(zip(links.source, links.target, strict=True))}
    row = np.array([place[pair] for pair in zip(directed.source, directed.target, strict=True)])
    begin = Parameters(start.weight[row], start.bias, start.alpha)
    settings = Training(lr=0.005, max_step=1 / 4)
    alone = train(directed, begin, paths, BATCHES, settings).parameters
    assert alone.weight.size == 1092
    assert np.abs(alone.weight - trained.parameters.weight[row]).max() > 0.01
    absent = np.setdiff1d(np.arange(links.source.size), row)
    matrix = np.zeros((103, 103), dtype=np.float32)
    matrix[directed.source, directed.target] = alone.weight
    assert (matrix[links.source[absent], links.target[absent]] == 0).all()
    x = paths.expression[:32].toarray()
    found = slope_of(Wired(directed), *alone.tensors())(torch.from_numpy(x)).numpy()
    expected = 1 / (1 + np.exp(-(x @ matrix + alone.bias))) - alone.alpha * x
    np.testing.assert_allclose(found, expected, atol=1e-5)
