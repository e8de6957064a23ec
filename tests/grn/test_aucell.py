"""AUCell against its formula and against the original programs."""

from __future__ import annotations

import inspect
import tracemalloc

import mudata
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.grn.aucell import aucell, cutoff_of


def formula(x: np.ndarray, members: np.ndarray, order: np.ndarray, *, norm: str, top: float) -> np.ndarray:
    """Full ranks of every cell, ties by the place in `order`."""
    place = np.empty(order.size, dtype=int)
    place[order] = np.arange(order.size)
    cutoff = cutoff_of(x.shape[1], top, norm)
    rank = np.empty(x.shape, dtype=int)
    for cell, row in enumerate(x):
        rank[cell, np.lexsort((place, -row))] = np.arange(row.size)
    area = np.clip(cutoff - rank, 0, None) @ members.T
    if norm == "pyscenic":
        return area / ((cutoff + 1) * members.sum(axis=1))
    size = np.minimum((members > 0).sum(axis=1), cutoff)
    return area / (size * (cutoff + 1) - size * (size + 1) / 2)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.poisson(0.3, (60, 200)).astype(np.float32)
    x[:5] = 0
    x[5:10] *= rng.random((5, 200)).astype(np.float32)
    return x, (rng.random((7, 200)) < 0.15).astype(float)


@pytest.mark.parametrize("norm", ["decoupler", "pyscenic"])
@pytest.mark.parametrize("top", [0.05, 0.4])
def test_equals_the_rank_formula(data, norm, top):
    x, members = data
    order = np.random.default_rng(1).permutation(200)
    got = aucell(sp.csr_matrix(x), sp.csr_matrix(members), norm=norm, top=top, ties="random", tie_order=order)
    np.testing.assert_allclose(got, formula(x, members, order, norm=norm, top=top), atol=1e-6)


def test_weights_enter_the_sum(data):
    x, members = data
    weighted = members * np.random.default_rng(2).gamma(2, 1, members.shape)
    order = np.arange(200)
    got = aucell(sp.csr_matrix(x), sp.csr_matrix(weighted), norm="pyscenic", ties="random", tie_order=order)
    np.testing.assert_allclose(got, formula(x, weighted, order, norm="pyscenic", top=0.05), atol=1e-6)


def test_expected_ties_are_the_mean_over_tie_orders(data):
    x, members = data
    expected = aucell(sp.csr_matrix(x), sp.csr_matrix(members))
    draws = np.stack([aucell(sp.csr_matrix(x), sp.csr_matrix(members), ties="random", seed=s) for s in range(400)])
    error = np.abs(draws.mean(axis=0) - expected)
    assert (error <= 5 * np.maximum(draws.std(axis=0), 0.05) / 20).all()  # 400 draws; rare hits have a skewed mean


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([0.25, 2.0, 1024.0]), cell=st.integers(0, 59))
def test_only_ranks_matter_and_cells_do_not_see_each_other(data, scale, cell):
    x, members = data
    whole = aucell(sp.csr_matrix(x), sp.csr_matrix(members))
    alone = aucell(sp.csr_matrix(x[[cell]] * np.float32(scale)), sp.csr_matrix(members))
    np.testing.assert_array_equal(alone[0], whole[cell])


def test_threads_and_gene_order_change_nothing(data):
    x, members = data
    order = np.random.default_rng(3).permutation(200)
    whole = aucell(sp.csr_matrix(np.tile(x, (40, 1))), sp.csr_matrix(members), n_jobs=2)
    np.testing.assert_array_equal(whole[:60], aucell(sp.csr_matrix(x), sp.csr_matrix(members), n_jobs=1))
    shuffled = aucell(sp.csr_matrix(x[:, order]), sp.csr_matrix(members[:, order]))
    np.testing.assert_allclose(shuffled, whole[:60], atol=1e-7)


def test_no_dense_table_of_cells_and_genes_is_made():
    x = sp.random(4000, 5000, density=0.01, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    members = sp.csr_matrix(np.ones((20, 1)) @ (np.arange(5000) < 50)[None, :].astype(float))
    aucell(x[:10], members)
    tracemalloc.start()
    aucell(x, members, n_jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.shape[0] * x.shape[1] / 10


def test_an_empty_set_scores_zero(data):
    assert (aucell(sp.csr_matrix(data[0]), sp.csr_matrix((1, 200))) == 0).all()


@pytest.mark.parametrize(
    ("option", "text"),
    [({"top": 2.0}, "top"), ({"ties": "x"}, "ties"), ({"norm": "x"}, "norm"), ({"top": 0.001}, "at least two genes")],
)
def test_wrong_options_are_named(data, option, text):
    with pytest.raises(ValueError, match=text):
        inspect.unwrap(aucell)(sp.csr_matrix(data[0]), sp.csr_matrix(data[1]), **option)  # past the run-time type check


@pytest.mark.golden
@pytest.mark.realdata
def test_equals_pyscenic_and_decoupler_given_their_tie_orders(golden_dir, data_dir):
    stored = np.load(golden_dir / "aucell" / "cortex.npz")
    with mudata.set_options(pull_on_update=False):
        mdata = mudata.read_h5mu(data_dir / "snare_mouse_cortex" / "snare_cortex_small.h5mu")
    x = sp.csr_matrix(mdata["rna"].X, dtype=np.float32)[stored["cell_index"]]
    place = stored["member_regulon"], stored["member_gene"]
    shape = int(place[0].max()) + 1, x.shape[1]
    plain = sp.csr_matrix((np.ones(place[0].size), place), shape)
    for seed in range(5):
        order = stored["permutations_seed1to5"][seed].astype(int)
        got = aucell(x, plain, norm="pyscenic", ties="random", tie_order=order)
        np.testing.assert_array_equal(got, stored["pyscenic_thr05_seeds"][seed])
    weighted = sp.csr_matrix((stored["member_weight"], place), shape)
    got = aucell(x, weighted, norm="pyscenic", ties="random", tie_order=stored["permutations_seed1to5"][0].astype(int))
    np.testing.assert_array_equal(got, stored["pyscenic_weighted_thr05_seed1"])
    got = aucell(x, plain, ties="random", tie_order=stored["decoupler_permutation"].astype(int))
    np.testing.assert_allclose(got, stored["decoupler_thr05"], atol=3e-8)
