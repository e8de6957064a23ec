"""RiTINI beside the original program on the same random weights: forecasts, and attention of every window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc.grn.systems.ritini.model import Forecast, RitiniNet
from grnformer_sc.grn.systems.ritini.options import HISTORY

pytestmark = pytest.mark.golden
TOLERANCE = 1e-6  # float32


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "ritini" / "forward.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def net(stored: dict[str, np.ndarray]) -> RitiniNet:
    """The stored weights under their own names, none missing and none left over."""
    net = RitiniNet.drawn(0)
    weights = {name[3:]: torch.from_numpy(value) for name, value in stored.items() if name.startswith("sd.")}
    net.load_state_dict(weights, strict=True)
    return net.eval()


@pytest.fixture(scope="module")
def found(net: RitiniNet, stored: dict[str, np.ndarray]) -> Forecast:
    """All windows at once; the original goes from window to window."""
    x = torch.from_numpy(stored["x"])
    n = len(stored["output"])
    history = torch.stack([x[first : first + HISTORY] for first in range(n)])
    with torch.no_grad():
        return net(history, torch.from_numpy(stored["adjacency_src_dst"]), torch.linspace(0, 1, n))


def test_the_number_of_parameters_is_the_originals(net: RitiniNet) -> None:
    assert sum(weight.numel() for weight in net.parameters()) == 8097


def test_forecasts_are_the_originals(found: Forecast, stored: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(found.values.numpy(), stored["output"][..., 0], atol=TOLERANCE, rtol=0)


def test_attention_is_the_originals(found: Forecast, stored: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(found.attention.numpy(), stored["attention_src_dst"], atol=TOLERANCE, rtol=0)
    assert (found.attention.numpy()[:, ~stored["adjacency_src_dst"]] == 0).all()
