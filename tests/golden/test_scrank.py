"""scRank beside the original R program, on real cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.systems.scrank.networks import direct
from grnformer_sc.grn.systems.scrank.ranking import perturbed, shifts, target_scores
from grnformer_sc.grn.systems.scrank.regression import pc_network
from grnformer_sc.grn.systems.scrank.tensor import decompose

pytestmark = [pytest.mark.golden, pytest.mark.realdata]

GROUPS = (2, 3, 4, 5)
TARGETS = ("POU5F1", "SOX2", "MYC")


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "scrank" / "networks_hipsc.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def scores(golden_dir: Path) -> dict:
    return json.loads((golden_dir / "scrank" / "scores.json").read_text())


@pytest.mark.parametrize("number", range(8))
def test_networks_are_the_originals(stored: dict[str, np.ndarray], number: int) -> None:
    group = stored["bootstrap_group"][number]
    cells = np.flatnonzero(stored["group"] == group)[stored["bootstrap_index_1based"][number].astype(int) - 1]
    found = pc_network(sp.csr_matrix(stored["counts"][cells].astype(np.float32)), 3, 0.95)
    np.testing.assert_allclose(found.toarray(), stored[f"net_{group}_{number % 2 + 1}"], atol=1e-9)


@pytest.mark.parametrize("group", GROUPS)
def test_directions_are_the_originals(stored: dict[str, np.ndarray], group: int) -> None:
    found = direct(stored[f"avg_rounded_{group}"], 0.25)
    np.testing.assert_array_equal(found.toarray(), stored[f"biedge_{group}"])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("group", GROUPS)
def test_scores_are_the_originals_where_they_are_defined(
    stored: dict[str, np.ndarray], scores: dict, target: str, group: int
) -> None:
    """Where two eigenvalues are a complex pair, the original keeps real parts of vectors of any phase."""
    network = sp.csr_matrix(stored[f"biedge_{group}"])
    place = np.flatnonzero(stored["genes"] == target)
    real = not np.any(scores["four_eigenvalues"][target][str(group)]["im"])
    for n_hops in (1, 2, 3):
        expected = scores["score_by_target_and_hop_and_group"][target][str(n_hops)][str(group)]
        found, _ = target_scores(network, place, "antagonist", n_hops)
        if real:
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
        else:
            assert np.isfinite(found)
            assert 0.5 < found / expected < 2
    if real:
        theirs = stored[f"distance_{target}_{group}"]
        found = shifts(network, perturbed(network, place, "antagonist"))
        np.testing.assert_allclose(found, theirs, atol=1e-8 * max(theirs.max(), 1e-4))


def test_the_stack_is_fitted_as_well(golden_dir: Path) -> None:
    with np.load(golden_dir / "scrank" / "cp_hipsc_group5.npz") as file:
        i, j, k, value = (file[f"tensor_{name}"] for name in ("i", "j", "k", "value"))
        theirs = file["cp_sum_scaled_seed1to3"].astype(float)
    stack = [sp.csr_matrix((value[k == n], (i[k == n], j[k == n])), (103, 103)) for n in range(10)]
    found = decompose(stack, 5)
    assert found.fit >= 0.2553  # the best of three seeds of the original
    mean = found.mean() / np.abs(found.mean()).max()
    between_seeds = np.corrcoef([each.ravel() for each in theirs])[np.triu_indices(3, 1)]
    to_ours = [np.corrcoef(mean.ravel(), each.ravel())[0, 1] for each in theirs]
    assert max(to_ours) > between_seeds.min()
