"""scGenePT in its published layout: equal to a plain twin of torch's own layers, told which genes are perturbed."""

from __future__ import annotations

import gzip
import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from torch import Tensor, nn
from torch.nn import functional

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import ScGenePT
from grnformer_sc.nn.foundation.base import Sequences

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
GENES, Trap, state_of, write = (helpers[name] for name in ("GENES", "Trap", "scgenept_state", "write_scgenept"))
ONTOLOGY = ("gopt_encoder_c", "gopt_encoder_f", "gopt_encoder_p")


class Twin:
    """The published equations by torch's own modules and functions, on the published names."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.w = {name.replace("Wqkv.", "in_proj_"): value for name, value in state.items()}
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
        part = "transformer_encoder."
        self.encoder.load_state_dict({n.removeprefix(part): v for n, v in self.w.items() if n.startswith(part)})

    def norm(self, x: Tensor, at: str) -> Tensor:
        return functional.layer_norm(x, (8,), self.w[at + ".weight"], self.w[at + ".bias"])

    def linear(self, x: Tensor, at: str) -> Tensor:
        return x @ self.w[at + ".weight"].T + self.w[at + ".bias"]

    def embed(self, tokens: Tensor, values: Tensor, flags: Tensor) -> Tensor:
        counts = self.linear(values[..., None], "value_encoder.linear1").relu()
        h = self.sum_of_tables(tokens) + self.norm(self.linear(counts, "value_encoder.linear2"), "value_encoder.norm")
        return self.norm(h + self.w["pert_encoder.weight"][flags], "ln")

    def sum_of_tables(self, tokens: Tensor) -> Tensor:
        h = self.norm(self.w["encoder.embedding.weight"][tokens], "encoder.enc_norm")
        for branch in ("genept_encoder", *ONTOLOGY):
            if f"{branch}.embedding.weight" in self.w:
                proj = f"{branch}.{'proj_layer' if branch == 'genept_encoder' else 'fc'}"
                words = self.w[f"{branch}.embedding.weight"][tokens]
                h = h + self.norm(self.linear(words, proj), f"{branch}.enc_norm")
        return h


def some_cells() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    tokens = torch.stack([torch.randperm(25, generator=g)[:9] for _ in range(4)])
    length = torch.tensor([9, 4, 7, 1])
    real = torch.arange(9) < length[:, None]
    return tokens * real, torch.rand(4, 9, generator=g) * 4 * real, (torch.rand(4, 9, generator=g) < 0.3) & real, length


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize(
    "branches", [("genept_encoder",), *((b,) for b in ONTOLOGY), ONTOLOGY, ("genept_encoder", *ONTOLOGY)]
)
@torch.inference_mode()
def test_forward_is_that_of_torchs_own_layers(branches, flash, tmp_path):
    state = state_of(branches=branches, flash=flash)
    net = ScGenePT.load_published(write(tmp_path / "m", state)).net
    tokens, values, flags, length = some_cells()
    twin, real = Twin(state), torch.arange(9) < length[:, None]
    x = Sequences(tokens + 27 * flags, length, real, values)
    h = twin.embed(tokens, values, flags.long())
    for number, found in enumerate(net.inputs(x)):
        torch.testing.assert_close(found[real], h[real], atol=2e-6, rtol=0)
        if number == net.n_layers:
            break
        q, k, _ = net.projections(number, found)
        weights = (q @ k.transpose(2, 3) / 2).masked_fill(~real[:, None, None], -torch.inf).softmax(dim=3)
        attention = twin.encoder.layers[number].self_attn
        _, expected = attention(h, h, h, key_padding_mask=~real, average_attn_weights=False)
        torch.testing.assert_close(weights, expected, atol=2e-6, rtol=0)
        h = twin.encoder.layers[number](h, src_key_padding_mask=~real)
    unvalued = twin.sum_of_tables(torch.arange(27))
    torch.testing.assert_close(net.token_embedding(), unvalued, atol=2e-6, rtol=0)
    whole = twin.encoder(twin.embed(tokens, values, flags.long()), src_key_padding_mask=~real)
    torch.testing.assert_close(net(x)[real], whole[real], atol=2e-6, rtol=0)


def test_every_key_and_checksum_is_reported(tmp_path):
    folder = write(tmp_path / "m", {f"module.{name}": value for name, value in state_of().items()})
    model = grs.model.load_foundation(folder)
    assert isinstance(model, ScGenePT)
    assert model.report["status"].value_counts().to_dict() == {"loaded": 59, "unused": 2}
    assert model.net.heads == 2
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("scgenept_genept.pt", "vocab.json")
    }
    assert model.sha256 == digests
    (folder / "scgenept_genept.pt").rename(folder / "best_model.pt")  # as scGPT calls its weights
    assert isinstance(grs.model.load_foundation(folder), ScGenePT)


@pytest.mark.parametrize("zero_genes", [True, False])
def test_cells_become_genes_of_the_data_with_their_values(zero_genes, tmp_path):
    model = ScGenePT.load_published(write(tmp_path / "m"), n_context=4, zero_genes=zero_genes)
    counts = sp.csr_matrix(np.array([[0, 3, 1, 0, 6], [2, 0, 0, 0, 0]], dtype=np.float32))
    genes = pd.Index(["G9", "G2", "unknown", "G4", "G20"])
    ((_, block),) = model.encode(model.counts_of(as_rows(counts), genes))
    cells = [block.tokens[a:b].tolist() for a, b in zip(block.starts[:-1], block.starts[1:], strict=True)]
    assert cells == ([[20, 2, 4, 9], [9, 2, 4, 20]] if zero_genes else [[20, 2], [9]])
    share = np.array([6, 3, 0, 0, 10, 0, 0, 0] if zero_genes else [6, 3, 10]) / 10
    np.testing.assert_allclose(block.values, np.log1p(share * 1e4), rtol=1e-6)
    assert block.context is None


def with_plain_norms(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with norms that scale nothing: else all places are nearly the same whatever they read."""
    return {
        name: torch.full_like(value, name.endswith("weight")) if "norm" in name or name.startswith("ln.") else value
        for name, value in state.items()
    }


@pytest.mark.parametrize("kind", ["deletion", "overexpression"])
@pytest.mark.parametrize("told", [True, False])
def test_perturbations_are_flags_and_values_of_genes_that_stay(kind, told, tmp_path):
    """A model that reads no values and does not tell flags apart moves nowhere; one that does, moves."""
    state = with_plain_norms(state_of())
    state["value_encoder.linear1.weight"].zero_()
    if not told:
        state["pert_encoder.weight"][1] = state["pert_encoder.weight"][0]
    model = ScGenePT.load_published(write(tmp_path / "m", state))
    counts = np.random.default_rng(0).poisson(1.0, size=(5, 25)).astype(np.float32)
    cells = AnnData(sp.csr_matrix(counts), var=pd.DataFrame(index=GENES))
    grs.tl.in_silico_perturbation(cells, model, ["G3", "G8"], kind=kind, device="cpu")
    shift = cells.obsm[f"scgenept_{kind}"]
    assert shift.shape == (5, 2)
    assert (shift > 1e-5).all() if told else (np.abs(shift) < 1e-6).all()


def decoded(state: dict[str, Tensor], h: Tensor) -> Tensor:
    """The published head: three maps with leaky rectifiers between them."""
    for number in (0, 2):
        h = functional.leaky_relu(h @ state[f"decoder.fc.{number}.weight"].T + state[f"decoder.fc.{number}.bias"])
    return (h @ state["decoder.fc.4.weight"].T + state["decoder.fc.4.bias"])[..., 0]


@pytest.mark.parametrize("kind", ["deletion", "overexpression", "flag"])
@torch.inference_mode()
def test_the_change_of_expression_is_that_of_the_head_on_single_cells(kind, tmp_path):
    state = with_plain_norms(state_of())
    model = ScGenePT.load_published(write(tmp_path / "m", state))
    counts = np.random.default_rng(0).poisson(1.0, size=(5, 25)).astype(np.float32)
    cells = AnnData(sp.csr_matrix(counts), var=pd.DataFrame(index=GENES))
    grs.tl.in_silico_perturbation(
        cells, model, ["G3", "G8"], kind=kind, measure="expression", batch_size=2, device="cpu"
    )
    twin, values = Twin(state), torch.from_numpy(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4))
    for column, gene in enumerate((3, 8)):
        change = torch.zeros(5, 25)
        for cell in range(5):
            told, tokens, flag = values[cell : cell + 1].clone(), torch.arange(25)[None], torch.zeros(1, 25).long()
            before = decoded(state, twin.encoder(twin.embed(tokens, told, flag)))
            flag[0, gene] = 1
            if kind != "flag":
                told[0, gene] = 0 if kind == "deletion" else told.max()
            change[cell] = (decoded(state, twin.encoder(twin.embed(tokens, told, flag))) - before)[0]
        expected = change.mean(dim=0).numpy()
        np.testing.assert_allclose(cells.varm[f"scgenept_{kind}"][:, column], expected, atol=2e-5)
        assert np.nanmax(np.abs(expected)) > 1e-2


@pytest.mark.realdata
def test_the_vocabulary_of_the_published_models_is_read(data_dir, tmp_path):
    file = data_dir / "gene_vocab" / "scgpt_whole_human_vocab.json.gz"
    folder = write(tmp_path / "m", state_of(60697, width=2))
    model = ScGenePT.load_published(folder, vocabulary=file)
    number = json.loads(gzip.decompress(file.read_bytes()))
    assert model.vocabulary.size == 60697
    assert model.genes.size == 60694
    genes = pd.Index(["SOX2", "GATA1", "no gene", "KLF1"])
    counts = model.counts_of(as_rows(sp.csr_matrix(np.array([[4, 3, 2, 1]], dtype=np.float32))), genes)
    ((_, block),) = model.encode(counts)
    assert block.tokens.tolist() == [number[name] for name in ("SOX2", "GATA1", "KLF1")]


def test_weights_that_run_code_are_refused_by_name(tmp_path):
    folder = write(tmp_path / "m", state_of() | {"ln.weight": Trap(tmp_path / "trap")})
    with pytest.raises(ValueError, match=r"scgenept_genept.pt must be .*it asks for (_?io\.)?open"):
        grs.model.load_foundation(folder)
    assert not (tmp_path / "trap").exists()


def test_missing_and_cut_off_files_are_named(tmp_path):
    folder = write(tmp_path / "m")
    file = folder / "scgenept_genept.pt"
    whole = file.read_bytes()
    for n in (len(whole) - 700, 50, 0):
        file.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"scgenept_genept.pt must be a whole torch file.*download it again"):
            ScGenePT.load_published(folder)
    file.write_bytes(whole)
    (folder / "vocab.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"needs vocab.json.*pass vocabulary=<file>.*github.com/czi-ai/scGenePT"
    ):
        ScGenePT.load_published(folder)
    (folder / "second.pt").write_bytes(whole)
    with pytest.raises(FileNotFoundError, match=r"Found: \[scgenept_genept.pt, second.pt\]"):
        ScGenePT.load_published(folder)
    with pytest.raises(FileNotFoundError, match=r"Found: no file at"):
        ScGenePT.load_published(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"genept_encoder": None}, "at least one of .*Found: an scGPT without them"),
        ({"encoder.embedding.weight": None}, "Found: no encoder.embedding.weight"),
        ({"ln.bias": None}, r"1 missing \[ln.bias\]"),
        ({"bn.weight": torch.ones(8)}, r"1 unexpected \[bn.weight\]"),
        ({"pert_encoder.weight": torch.ones(2, 8)}, r"1 shape \[pert_encoder.weight 2 x 8, not 3 x 8\]"),
        ({"encoder.embedding.weight": torch.ones(26, 8)}, "Found: 27 tokens and 26 rows.*vocab.json of the scGPT"),
        ({"encoder.embedding.weight": torch.ones(27, 9)}, "heads must divide the width of the model. Found: 2 and 9"),
    ],
)
def test_another_architecture_or_vocabulary_is_named_by_its_first_difference(change, text, tmp_path):
    dropped = tuple(name for name, value in change.items() if value is None)
    state = {name: value for name, value in state_of().items() if not (dropped and name.startswith(dropped))}
    state |= {name: value for name, value in change.items() if value is not None}
    with pytest.raises(ValueError, match=text):
        ScGenePT.load_published(write(tmp_path / "m", state))


def test_a_vocabulary_that_does_not_number_its_tokens_is_named(tmp_path):
    folder = write(tmp_path / "m")
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(GENES)}))
    with pytest.raises(ValueError, match=r"vocab.json must number its tokens 0, 1, 2.*Found: no <cls>"):
        ScGenePT.load_published(folder)
