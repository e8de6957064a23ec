"""A model that was written by an earlier version of the packages gives the embeddings that it gave then."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from grnformer_sc.model import GRNFormer

STORED = Path(__file__).with_name("stored")
toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]


def test_a_stored_model_gives_the_embeddings_that_it_gave():
    model = GRNFormer.load(STORED / "model")
    expected = np.loadtxt(STORED / "embedding.csv", delimiter=",")
    found = model.get_latent_representation(toy_rna()[:10].copy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_written_now_is_read_back(tmp_path):
    model = GRNFormer.load(STORED / "model")
    model.save(tmp_path / "again")
    again = GRNFormer.load(tmp_path / "again")
    cells = toy_rna()[:10].copy()
    np.testing.assert_array_equal(again.get_latent_representation(cells), model.get_latent_representation(cells))
    assert (again.config, again.train_config) == (model.config, model.train_config)
    assert again.network.edges.equals(model.network.edges)
