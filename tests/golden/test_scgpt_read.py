"""scGPT as a foundation model: hidden states, queries and keys equal stored outputs of the original program."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.nn.foundation.base import Sequences

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def stored(golden_dir):
    return np.load(golden_dir / "scgpt" / "forward.npz")


@pytest.fixture(scope="module")
def model(golden_dir) -> grs.model.ScGPT:
    found = grs.model.load_foundation(golden_dir / "scgpt")
    assert isinstance(found, grs.model.ScGPT)
    return found


@pytest.fixture(scope="module")
def given(stored) -> Sequences:
    length = torch.from_numpy((~stored["padding_mask"]).sum(axis=1))
    index = torch.from_numpy(stored["gene_ids"]).long()
    return Sequences(index, length, index < 40, torch.from_numpy(stored["values"]).float())


def test_hidden_states_are_those_of_the_original(model, given, stored):
    with torch.inference_mode():
        h = model.net(given).numpy()
    kept = ~stored["padding_mask"]
    np.testing.assert_allclose(h[kept], stored["encoder_output"][kept], atol=2e-6)


def test_attention_of_every_layer_is_that_of_the_original(model, given, stored):
    kept = torch.from_numpy(~stored["padding_mask"])
    with torch.inference_mode():
        for number, q, k, _ in model.net.attended(given, model.net.n_layers):
            score = (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).masked_fill(~given.mask(), -torch.inf).softmax(dim=-1)
            right = torch.from_numpy(stored["attention_layers"][number])
            at = kept[:, None, :].expand(score.shape[:3])
            np.testing.assert_allclose(score[at], right[at], atol=2e-6)


def test_cells_become_the_stored_tokens_and_bins(model):
    """Genes with counts, each with its bin among the counts of the cell; the cell's token first with value 0."""
    names = [f"G{i}" for i in range(3)]
    mine = grs.model.ScGPT.untrained(names, n_bins=5, n_places=3, dim=8, heads=2)
    counts = sp.csr_matrix(np.array([[5, 0, 2], [1, 9, 4]], dtype=np.float32))
    ((_, block),) = mine.encode(mine.counts_of(as_rows(counts), pd.Index(names)))
    assert block.tokens.tolist() == [3, 0, 2, 3, 1, 2]
    assert block.starts.tolist() == [0, 3, 6]
    # of two counts the largest lies at the last of four edges, the smallest at the first; of three the one between at the middle,
    # though the smallest is cut off
    np.testing.assert_allclose(block.values, [0, 4, 1, 0, 4, 2])
    ((_, scaled),) = mine.encode(mine.counts_of(as_rows(counts * 7), pd.Index(names)))
    np.testing.assert_array_equal(scaled.values, block.values)
