"""Where perturbed cells would move: directions by hand, and knock-outs in a simulated differentiation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc.grn.flow import embedding_neighbours, flow, gradient
from grnformer_sc.pl._perturbation_flow import grid_means


@pytest.fixture(scope="module")
def square() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (400, 2))


def test_cells_move_the_way_their_expression_changes(square: np.ndarray) -> None:
    near = embedding_neighbours(square, 40, n_jobs=1)
    inner = np.abs(square).max(axis=1) < 0.6
    for way in ([1.0, 0.0], [0.0, -1.0], [0.7, 0.7]):
        moved = flow(np.tile(way, (400, 1)), square, square, near, 0.1)[inner]
        cosine = moved @ np.array(way) / (np.linalg.norm(moved, axis=1) * np.linalg.norm(way))
        assert cosine.mean() > 0.95
        assert cosine.min() > 0.6
        assert (np.linalg.norm(moved, axis=1) < 2).all()


def test_no_change_is_no_movement_and_size_does_not_matter(square: np.ndarray) -> None:
    near = embedding_neighbours(square, 20, n_jobs=1)
    shift = np.random.default_rng(1).normal(size=square.shape)
    shift[:50] = 0
    moved = flow(shift, square, square, near, 0.05)
    assert not moved[:50].any()
    assert np.linalg.norm(moved[50:], axis=1).min() > 0
    np.testing.assert_allclose(flow(7 * shift, square, square, near, 0.05), moved, atol=1e-12)


def test_turning_the_embedding_turns_the_movement(square: np.ndarray) -> None:
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    near = embedding_neighbours(square, 20, n_jobs=1)
    shift = np.random.default_rng(1).normal(size=square.shape)
    moved = flow(shift, square, square, near, 0.05)
    np.testing.assert_allclose(flow(shift, square, square @ turn, near, 0.05), moved @ turn, atol=1e-12)


def test_the_gradient_is_the_direction_of_rising_time(square: np.ndarray) -> None:
    near = embedding_neighbours(square, 15, n_jobs=1)
    found = gradient(square @ np.array([3.0, -4.0]) + 5, square, near)
    np.testing.assert_allclose(found, np.tile([0.6, -0.8], (400, 1)), atol=1e-6)
    assert not gradient(np.ones(400), square, near).any()


def test_squares_take_means() -> None:
    place = np.array([[0.0, 0.0], [0.2, 0.0], [1.9, 1.9]])
    at, arrow = grid_means(place, np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]), 2)
    np.testing.assert_allclose(at, [[0.1, 0.0], [1.9, 1.9]])
    np.testing.assert_allclose(arrow, [[0.5, 0.5], [2.0, 2.0]])


@pytest.fixture(scope="module")
def differentiation() -> AnnData:
    """Cells along one path: DRIVER rises and brings its targets, BRAKE falls and takes its own with it."""
    rng = np.random.default_rng(3)
    time = rng.random(600)
    noise = rng.lognormal(0, 0.25, (2, 600))
    driver, brake = 8 * time * noise[0], 8 * (1 - time) * noise[1]
    rate = np.full((600, 60), 3.0)
    rate[:, 0], rate[:, 1] = driver, brake
    rate[:, 2:20] = 0.3 + driver[:, None]
    rate[:, 20:38] = 0.3 + brake[:, None]
    counts = rng.poisson(rate).astype(np.float32)
    names = [
        "DRIVER",
        "BRAKE",
        *(f"UP{i}" for i in range(18)),
        *(f"DOWN{i}" for i in range(18)),
        *(f"G{i}" for i in range(22)),
    ]
    adata = AnnData(counts, obs=pd.DataFrame({"time": time}, index=[f"c{i}" for i in range(600)]))
    adata.var_names = names
    adata.obsm["X_path"] = np.stack([time, 0.1 * rng.normal(size=600)], axis=1)
    prior = pd.DataFrame({"tf": ["DRIVER"] * 18 + ["BRAKE"] * 18, "gene": names[2:38]})
    grs.tl.build_grn(adata, method="celloracle", prior=prior)
    return adata


@pytest.mark.parametrize(("gene", "sign"), [("DRIVER", -1), ("BRAKE", 1)])
def test_knock_outs_move_cells_back_or_forward(differentiation: AnnData, gene: str, sign: int) -> None:
    adata = differentiation.copy()
    grs.tl.simulate_ko(adata, gene, key="grn_celloracle", per_cell=True, key_added="ko")
    grs.tl.perturbation_flow(adata, basis="X_path", pseudotime="time", key="ko", n_neighbors=150)
    middle = adata.obs["time"].between(0.3, 0.7)
    assert (np.sign(adata.obs["ko_score"][middle]) == sign).mean() > 0.9
    assert (np.sign(adata.obsm["ko_flow"][middle, 0]) == sign).mean() > 0.9


def test_the_order_of_genes_does_not_matter(differentiation: AnnData) -> None:
    adata = differentiation.copy()
    grs.tl.simulate_ko(adata, "DRIVER", key="grn_celloracle", per_cell=True, key_added="ko")
    other = adata[:, ::-1].copy()
    for cells in (adata, other):
        grs.tl.perturbation_flow(cells, basis="X_path", key="ko")
    np.testing.assert_array_equal(adata.obsm["ko_flow"], other.obsm["ko_flow"])


def test_the_plot_has_an_arrow_per_square(differentiation: AnnData) -> None:
    adata = differentiation.copy()
    grs.tl.simulate_ko(adata, "DRIVER", key="grn_celloracle", per_cell=True, key_added="ko")
    grs.tl.perturbation_flow(adata, basis="X_path", pseudotime="time", key="ko")
    ax = grs.pl.perturbation_flow(adata, key="ko", n_grid=8)
    at, arrow = grid_means(adata.obsm["X_path"], adata.obsm["ko_flow"].astype(float), 8)
    quiver = ax.collections[-1] if hasattr(ax.collections[-1], "U") else ax.collections[1]
    np.testing.assert_allclose(quiver.get_offsets(), at)
    np.testing.assert_allclose(np.stack([quiver.U, quiver.V], axis=1), arrow)
    assert ax.get_title(loc="left") == "DRIVER at 0"


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (lambda a: a.layers.pop("ko"), {}, KeyError, "per_cell=True"),
        (lambda a: None, {"basis": "X_umap"}, KeyError, r"basis='X_umap' must be in obsm.*X_path"),
        (lambda a: None, {"pseudotime": "dpt"}, KeyError, "pseudotime='dpt' must be a column"),
        (lambda a: a.obs.insert(0, "text", "x"), {"pseudotime": "text"}, ValueError, "numbers for at least 3 cells"),
        (lambda a: a.obsm["X_path"].__setitem__((0, 0), np.nan), {}, ValueError, "must be finite"),
        (lambda a: None, {"n_neighbors": 1}, ValueError, "n_neighbors"),
        (lambda a: None, {"key": "other"}, KeyError, "other"),
    ],
)
def test_wrong_input_is_named(differentiation: AnnData, change, options, error, words) -> None:
    adata = differentiation.copy()
    grs.tl.simulate_ko(adata, "DRIVER", key="grn_celloracle", per_cell=True, key_added="ko")
    change(adata)
    with pytest.raises(error, match=words):
        grs.tl.perturbation_flow(adata, **{"basis": "X_path", "key": "ko", **options})
    assert "ko_flow" not in adata.obsm
