"""scPRINT's format: input, output, queries and keys equal stored outputs of the original's modules on the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import ScPRINT
from grnformer_sc.nn.foundation.base import Sequences
from grnformer_sc.nn.foundation.scprint import normalised

pytestmark = pytest.mark.golden
CLOSE = 2e-6


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "scprint" / "forward.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def content(golden_dir: Path) -> dict:
    return torch.load(golden_dir / "scprint" / "tiny.ckpt", weights_only=True)


def read(content: dict, folder: Path, *, normalisation: str = "log", depth: bool = True) -> ScPRINT:
    settings = content["hyper_parameters"] | {"normalization": normalisation, "depth_atinput": depth}
    torch.save(content | {"hyper_parameters": settings}, folder / "tiny.ckpt")
    found = grs.model.load_foundation(folder / "tiny.ckpt", n_context=30)
    assert isinstance(found, ScPRINT)
    return found


def given(model: ScPRINT, stored: dict[str, np.ndarray]) -> Sequences:
    """The stored cells as the tokeniser would frame them; they hold genes that are not expressed too."""
    counts, front = stored["expression"], model.net.front_tokens()
    values = normalised(counts.ravel(), np.full(5, 30), model.net.config.normalisation).reshape(5, 30)
    index = np.hstack([np.tile(front, (5, 1)), stored["gene_index"]])
    return Sequences(
        torch.from_numpy(index).long(), torch.full((5,), index.shape[1]), torch.from_numpy(index) < 50,
        torch.from_numpy(np.hstack([np.zeros((5, len(front)), dtype=np.float32), values])),
        torch.from_numpy(stored["depth"][:, None]),
    )  # fmt: skip


@pytest.mark.parametrize("depth", [True, False])
@pytest.mark.parametrize("normalisation", ["sum", "log"])
@torch.inference_mode()
def test_every_stage_is_that_of_the_original(normalisation, depth, stored, content, tmp_path):
    model = read(content, tmp_path, normalisation=normalisation, depth=depth)
    x, name = given(model, stored), f"{normalisation}_{'' if depth else 'no'}depth_"
    assert x.mask() is None
    for number, h in enumerate(model.net.inputs(x)):
        if number == model.net.n_layers:
            np.testing.assert_allclose(h, stored[name + "output"], atol=CLOSE, rtol=0)
            break
        if number == 0:
            np.testing.assert_allclose(h, stored[name + "encoding"], atol=CLOSE, rtol=0)
        expected = stored[name + "qkv"][number]  # cells x places x (q, k, v) x heads x width
        for found, right in zip(
            model.net.projections(number, h)[:2], (expected[:, :, 0], expected[:, :, 1]), strict=True
        ):
            np.testing.assert_allclose(found.transpose(1, 2)[: right.shape[0]], right, atol=CLOSE, rtol=0)


@torch.inference_mode()
def test_mean_queries_and_keys_give_the_stored_attention_of_genes(stored, content, tmp_path):
    """Queries and keys of each gene, averaged over its cells; softmax over genes; mean of heads and layers."""
    model = read(content, tmp_path)
    x, total = given(model, stored), np.zeros((50, 50))
    genes = x.index[:, model.front :]
    for number, h in enumerate(model.net.inputs(x)):
        if number == model.net.n_layers:
            break
        q, k = (part.transpose(1, 2)[:, model.front :].double() for part in model.net.projections(number, h)[:2])
        seen = torch.bincount(genes.flatten(), minlength=50)[:, None, None]
        mean = [torch.zeros(50, 4, 8).double().index_add_(0, genes.flatten(), p.flatten(0, 1)) / seen for p in (q, k)]
        total += torch.einsum("qhd,khd->hqk", *mean).div(8**0.5).softmax(dim=2).mean(dim=0).numpy() / 2
    np.testing.assert_array_equal(np.unique(stored["gene_index"]), stored["formula_gene_index_present"])
    np.testing.assert_allclose(total, stored["formula_mean_attention_gene_gene"], atol=CLOSE, rtol=0)


def test_cells_become_the_stored_tokens_values_and_depth(stored, content, tmp_path):
    """Expressed genes by falling count, behind the tokens of the cell; the total of the cell beside them."""
    model = read(content, tmp_path)
    counts = np.zeros((5, 51), dtype=np.float32)
    np.put_along_axis(counts, stored["gene_index"].astype(np.int64), stored["expression"], axis=1)
    counts[:, 50] = np.arange(5)  # a gene that the model does not know
    names = pd.Index([*model.genes, "unknown"])
    ((_, block),) = model.encode(model.counts_of(as_rows(sp.csr_matrix(counts)), names))
    np.testing.assert_array_equal(block.context, counts.sum(axis=1, keepdims=True))
    for cell in range(5):
        part = slice(block.starts[cell], block.starts[cell + 1])
        assert block.tokens[part][:5].tolist() == [54, 50, 51, 52, 53]
        genes = block.tokens[part][5:]
        expected = [i for i in np.argsort(-counts[cell, :50], kind="stable") if counts[cell, i]]
        assert genes.tolist() == expected
        np.testing.assert_allclose(block.values[part], [0] * 5 + np.log2(1 + counts[cell, genes]).tolist(), rtol=1e-6)


@pytest.mark.parametrize("table", ["embeddings", "embedding", "0.embedding"])
@pytest.mark.parametrize("places", [2, 3])
def test_all_forms_of_its_keys_are_one_model(table, places, content, tmp_path):
    state = dict(content["state_dict"])
    state[f"gene_encoder.{table}.weight"] = state.pop("gene_encoder.embeddings.weight")
    state["pos_encoder.pe"] = state["pos_encoder.pe"].reshape(50, *[1] * (places - 2), 32)
    first, second = (read(content | {"state_dict": s}, tmp_path) for s in (content["state_dict"], state))
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
    assert (second.report["status"] == "loaded").sum() == len(state)
