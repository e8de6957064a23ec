"""Dictys beside the original program, on 500 real cells: terms of the loss, the first steps, and what follows from links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc.grn.systems.dictys.effects import normalized, total_effects
from grnformer_sc.grn.systems.dictys.model import Data, Parts, terms
from grnformer_sc.grn.systems.dictys.start import start
from grnformer_sc.grn.systems.dictys.training import EVERY, Training, train

pytestmark = [pytest.mark.golden, pytest.mark.realdata]
TFS = np.arange(20)
NAMES = ("mu_G", "sigma_G_d", "sigma_G_nd", "sigma0_G_d", "N_0val", "reg", "G_0_mean", "G_0_std")


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "dictys" / "hipsc_t5.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def data(stored: dict[str, np.ndarray]) -> Data:
    counts = stored["counts_genes_x_cells"].T.astype(float)
    return Data.of(counts, counts.sum(axis=1), stored["N_0mask"].astype(np.int64), TFS.size)


@pytest.fixture(scope="module")
def begin(stored: dict[str, np.ndarray]) -> Parts:
    return Parts(*(torch.from_numpy(stored[f"param_{name}"]) for name in NAMES))


def test_terms_of_the_loss_are_the_originals(stored: dict[str, np.ndarray], data: Data, begin: Parts) -> None:
    found = terms(begin, torch.from_numpy(stored["eps"]), data, 1e5)
    np.testing.assert_allclose(found, stored["loss_original_G0_lyapunov_Gobs"], rtol=1e-6)


def test_the_start_is_the_originals(stored: dict[str, np.ndarray], begin: Parts) -> None:
    """But for the random method by which it finds components, and the signs of these."""
    counts = stored["counts_genes_x_cells"].T.astype(float)
    found = start(counts, counts.sum(axis=1), 20, 616, np.random.default_rng(0))
    for name, value in begin.items():
        if name not in ("factor", "link"):
            np.testing.assert_allclose(getattr(found, name), value, rtol=2e-2, atol=1e-5)
    np.testing.assert_allclose((found.factor**2).sum(axis=0), (begin.factor**2).sum(axis=0), rtol=0.02)
    assert 0.9e-4 < float(found.link.std()) < 1.1e-4


def test_the_first_steps_are_the_originals(stored: dict[str, np.ndarray], data: Data, begin: Parts) -> None:
    """The loss falls by five orders of magnitude along the same way; later ways part with the noise."""
    settings = Training(steps=3 * EVERY + 1, lr=0.01, lr_decay=0.999, warmup=0, scale=1e5)
    found = train(data, begin, settings, torch.Generator().manual_seed(0))
    assert found.steps == [1, 51, 101, 151]
    latent, steady, seen = (found.losses / stored["loss_every_50_steps"][:4]).T
    np.testing.assert_allclose([latent, seen], 1, atol=0.02)
    np.testing.assert_allclose(steady, 1, atol=0.15)  # 9e9 -> 1.1e5, and it swings


def test_normalized_weights_and_total_effects_are_the_originals(stored: dict[str, np.ndarray]) -> None:
    mean, variance = stored["meanvar"].T.astype(float)
    weight = stored["weights_tf_x_gene"].astype(float)
    sd = np.sqrt(variance + (stored["covfactor"].astype(float) ** 2).sum(axis=1))
    np.testing.assert_allclose(normalized(weight, sd, TFS), stored["normalized"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(total_effects(weight, np.exp(mean), TFS), stored["indirect"], rtol=1e-4, atol=1e-6)
