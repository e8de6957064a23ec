"""scPRINT in its published layout: settings as plain values, strict about what it computes, nothing in a file is run."""

from __future__ import annotations

import collections
import hashlib
import json
import pathlib
import pickle
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import ScPRINT

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
GENES, Trap, state_of, write = (helpers[name] for name in ("GENES", "Trap", "scprint_state", "write_scprint"))


class AttributeDict(dict):
    """Like that of Lightning, under its name."""


AttributeDict.__module__ = "lightning_fabric.utilities.data"


def test_every_key_and_checksum_is_reported(tmp_path):
    file = write(tmp_path / "m")
    for path in (file, file.parent):
        model = grs.model.load_foundation(path)
        assert isinstance(model, ScPRINT)
        assert model.report["status"].value_counts().to_dict() == {"loaded": 53, "unused": 3}
        assert model.sha256 == {"small.ckpt": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert repr(model) == "scPRINT of 25 genes: 3 layers, dim 8, up to 2004 tokens"


@pytest.mark.parametrize(
    "genes",
    [np.array(GENES), np.array(GENES, dtype=object), [np.str_(name) for name in GENES]],
    ids=["text array", "object array", "numpy text"],
)
def test_what_settings_hold_besides_is_read_as_plain_values(genes, tmp_path, monkeypatch):
    """Arrays and numbers of numpy, paths, dictionaries of other classes: what programs leave in their settings."""
    for name in ("lightning_fabric", "lightning_fabric.utilities", "lightning_fabric.utilities.data"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(AttributeDict=AttributeDict))
    others = {
        "genes": genes, "nhead": np.int64(2), "dropout": np.float32(0.5), "gene_pos_enc": np.arange(50).reshape(25, 2).T,
        "precpt_gene_emb": pathlib.Path("data") / "emb.parquet", "classes": collections.defaultdict(list, {"sex": [1]}),
        "label_decoders": AttributeDict(sex=AttributeDict(a=1)), "depth_atinput": np.True_, "labels": {"a", "b"},
    }  # fmt: skip
    model = ScPRINT.load_published(write(tmp_path / "m", settings=others))
    assert model.genes.tolist() == GENES
    assert model.net.front == 4


def test_order_and_number_of_genes_follow_the_context(tmp_path):
    model = ScPRINT.load_published(write(tmp_path / "m"), n_context=3)
    counts = np.zeros((1, 25), dtype=np.float32)
    counts[0, [4, 9, 20, 7]] = [1, 5, 2, 1]
    ((_, block),) = model.encode(model.counts_of(as_rows(sp.csr_matrix(counts)), pd.Index(GENES)))
    assert block.tokens.tolist() == [28, 25, 26, 27, 9, 20, 4]
    np.testing.assert_allclose(block.values[4:], [5 / 8, 2 / 8, 1 / 8])  # shares of what is read
    assert block.context.tolist() == [[9.0]]


def test_genes_are_found_by_other_names(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps({f"SYM{i}": gene for i, gene in enumerate(GENES)}))
    model = ScPRINT.load_published(write(tmp_path / "m"), names=tmp_path / "names.json")
    found = model.counts_of(as_rows(sp.csr_matrix(np.ones((1, 2), dtype=np.float32))), pd.Index(["SYM3", "G4"]))
    assert found.matches["after"].tolist() == ["G3", "G4"]
    assert set(model.sha256) == {"small.ckpt", "names.json"}


@pytest.mark.parametrize("where", ["settings", "beside", "state"])
def test_a_checkpoint_that_runs_code_is_refused_by_name(where, tmp_path):
    trap = Trap(tmp_path / "trap")
    given = {
        "settings": {"settings": {"classes": trap}}, "beside": {"callbacks": {"x": trap}},
        "state": {"state": scprint_with(trap)},
    }[where]  # fmt: skip
    file = write(tmp_path / "m", **given)
    with pytest.raises(ValueError, match=r"tensors and plain values only. Found: it asks for (_?io\.)?open.*save its"):
        ScPRINT.load_published(file)
    assert not (tmp_path / "trap").exists()
    file.write_bytes(pickle.dumps(trap))
    with pytest.raises(ValueError, match=r"small.ckpt must be a whole torch file"):
        ScPRINT.load_published(file)
    assert not (tmp_path / "trap").exists()


def scprint_with(trap: object) -> dict:
    return state_of() | {"gene_encoder.embeddings.weight": trap}


def test_cut_off_and_other_files_are_named(tmp_path):
    file = write(tmp_path / "m")
    whole = file.read_bytes()
    for n in (len(whole) - 700, len(whole) // 2, 100, 0):
        file.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"small.ckpt must be a whole torch file.*download it again"):
            ScPRINT.load_published(file)
    torch.save(state_of(), file)
    with pytest.raises(ValueError, match=r"must hold \[hyper_parameters, state_dict\], as a checkpoint of Lightning"):
        ScPRINT.load_published(file)
    with pytest.raises(FileNotFoundError, match=r"one file .ckpt.*Found: no file at"):
        ScPRINT.load_published(tmp_path / "none.ckpt")
    write(tmp_path / "m").rename(tmp_path / "m" / "large.ckpt")
    write(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"Found: \[large.ckpt, small.ckpt\].*name the file"):
        ScPRINT.load_published(tmp_path / "m")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"normalization": "raw"}, "Found: normalization 'raw'"),
        ({"normalization": None}, r"Found: no \[normalization\]"),
        ({"expr_emb_style": "binned_pos"}, "Found: expr_emb_style 'binned_pos'"),
        ({"transformer": "performer"}, "Found: transformer 'performer'"),
        ({"cell_specific_blocks": True}, "Found: cell_specific_blocks True"),
        ({"attn_bias": "grn"}, "Found: attn_bias 'grn'"),
        ({"d_model": "8"}, "Found: d_model '8'"),
        ({"nhead": 3}, r"must divide dim \(d_model\). Found: 3 and 8"),
        ({"d_model": 16, "nhead": 2}, r"shape \[gene_encoder.embeddings.weight 25 x 8, not 25 x 16"),
        ({"nlayers": 4}, r"12 missing \[layers.3.attention.in_proj_weight"),
        ({"nlayers": 2}, r"12 unexpected \[transformer.blocks.2.mixer.Wqkv.weight"),
    ],
)
def test_another_architecture_is_named_by_its_first_difference(settings, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        ScPRINT.load_published(write(tmp_path / "m", settings=settings))


@pytest.mark.parametrize(
    ("genes", "text"),
    [
        (GENES[:24], r"each of its 25 genes.*Found: 24 genes, the first G0.*pass genes="),
        ([*GENES[:24], "G3"], "Found: G3 twice"),
        ([*GENES[:24], 7], "Found: 7 among them"),
        ({"human": GENES}, "Found: genes as dict"),
        (None, "Found: no genes"),
    ],
)
def test_another_vocabulary_is_named_by_its_first_difference(genes, text, tmp_path):
    file = write(tmp_path / "m", settings={"genes": genes})
    with pytest.raises(ValueError, match=text):
        ScPRINT.load_published(file)
    assert ScPRINT.load_published(file, genes=GENES).genes.tolist() == GENES


def test_places_of_the_genome_may_be_missing_only_where_the_settings_have_none(tmp_path):
    state = {name: value for name, value in state_of().items() if name != "pos_encoder.pe"}
    assert ScPRINT.load_published(write(tmp_path / "m", state=state)).net.positions is None
    file = write(tmp_path / "m", state=state, settings={"gene_pos_enc": list(range(25))})
    with pytest.raises(ValueError, match=r"Found: gene_pos_enc without pos_encoder.pe"):
        ScPRINT.load_published(file)


def test_the_table_of_tokens_is_that_of_genes_and_classes(tmp_path):
    table, state = ScPRINT.load_published(write(tmp_path / "m")).net.token_embedding(), state_of()
    expected = [state["gene_encoder.embeddings.weight"], state["class_encoder.embedding.weight"], torch.zeros(1, 8)]
    assert torch.equal(table, torch.cat(expected))


def test_what_does_not_fit_is_left_out_on_demand(tmp_path, caplog):
    state = state_of() | {"cell_transformer.blocks.0.norm1.weight": torch.ones(8)}
    del state["transformer.norm.bias"]
    file = write(tmp_path / "m", state=state)
    with pytest.raises(ValueError, match=r"1 missing \[norm.bias\]; 1 unexpected \[cell_transformer.blocks.0"):
        ScPRINT.load_published(file)
    ScPRINT.load_published(file, strict=False)
    assert "1 missing [norm.bias]" in caplog.text


def test_untrained_models_are_those_of_their_seed():
    first, again, other = (ScPRINT.untrained(GENES, dim=8, heads=2, rng=seed) for seed in (0, 0, 1))
    assert first.net.positions is None
    assert torch.equal(first.net.genes.weight, again.net.genes.weight)
    assert not torch.equal(first.net.genes.weight, other.net.genes.weight)
    with pytest.raises(ValueError, match=r"one number per gene. Found: 2 for 25 genes"):
        ScPRINT.untrained(GENES, places=[1, 2])
