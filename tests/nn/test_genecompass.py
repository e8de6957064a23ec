"""GeneCompass in its published layout: equal to a plain twin of the equations, for both species, strict about its files."""

from __future__ import annotations

import hashlib
import json
import pickle
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from safetensors.torch import save_file

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import GeneCompass
from grnformer_sc.nn.foundation.base import Sequences

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
norm, linear, bert_layers, Trap = (helpers[name] for name in ("norm", "linear", "bert_layers", "Trap"))
HUMAN = [f"ENSG{i:011d}" for i in range(12)]
MOUSE = [f"ENSMUSG{i:011d}" for i in range(10)]
TOKENS = {name: i for i, name in enumerate(["<pad>", "<mask>", *HUMAN, *MOUSE])}
KNOWLEDGE = ("promoter", "co_exp", "gene_family", "peca_grn")
N, D, PLACES = len(TOKENS), 8, 9
CONFIG = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": D, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": PLACES, "layer_norm_eps": 1e-12, "vocab_size": N,
}  # fmt: skip


def published_state(*, knowledge: tuple[str, ...] = KNOWLEDGE, species_token: bool = True) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file, the knowledge of each kind in its own width."""
    e = "bert.embeddings."
    shapes = helpers["bert_shapes"](N, PLACES) | {
        e + "concat_embeddings.cat_fc.weight": (D, D * (1 + len(knowledge)) + 1),
        e + "concat_embeddings.cat_proj.weight": (D, D),
        "cls.predictions.bias": (N,), "cls4value.predictions.decoder.weight": (1, D), "emb_warmup.alpha": (1,),
    }  # fmt: skip
    shapes |= {f"{e}concat_embeddings.{name}.bias": (D,) for name in ("cat_fc", "cat_proj", "cat_ln")}
    shapes |= {e + "concat_embeddings.cat_ln.weight": (D,)}
    for width, name in enumerate(knowledge, 3):
        shapes |= {f"{e}{name}_knowledge": (N, width), f"{e}{name}_embeddings.linear1.weight": (D, width)}
        shapes |= {f"{e}{name}_embeddings.linear1.bias": (D,)}
    if species_token:
        shapes["bert.cls_embedding.weight"] = (2, D)
    homologous = torch.arange(N)
    homologous[14:22] = torch.arange(2, 10)  # two genes of the mouse have no homologue
    others = {e + "homologous_index": homologous, e + "position_ids": torch.arange(PLACES)[None]}
    return helpers["random_state"](shapes) | others


def write_folder(
    folder: Path, *, state: dict[str, Any] | None = None, config: dict | None = None, tokens: dict | None = None,
    kind: str = "torch",
) -> Path:  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    state = published_state() if state is None else state
    if kind == "torch":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    (folder / "human_mouse_tokens.pickle").write_bytes(pickle.dumps(TOKENS if tokens is None else tokens))
    return folder


def twin(state: dict[str, torch.Tensor], tokens: list[int], values: list[float], species: int) -> list[np.ndarray]:
    """Hidden states of one cell: a plain transcription of the equations, without padding, in float64."""
    w = {name.removeprefix("bert."): value.double().numpy() for name, value in state.items()}
    e = "embeddings."
    words = w[e + "homologous_index"].astype(int)[tokens] if species else tokens
    parts = [w[e + "word_embeddings.weight"][words], np.array(values)[:, None]]
    known = [name for name in KNOWLEDGE if f"{e}{name}_knowledge" in w]
    parts += [linear(w[f"{e}{name}_knowledge"][tokens], w, f"{e}{name}_embeddings.linear1") for name in known]
    h = norm(linear(np.hstack(parts), w, e + "concat_embeddings.cat_fc"), w, e + "concat_embeddings.cat_ln", eps=1e-5)
    h = linear(h / (1 + np.exp(-1.702 * h)), w, e + "concat_embeddings.cat_proj")
    h = h + w[e + "position_embeddings.weight"][: len(tokens)] + w[e + "token_type_embeddings.weight"][0]
    h = norm(h, w, e + "LayerNorm")
    if "cls_embedding.weight" in w:
        h = np.vstack([w["cls_embedding.weight"][species], h])
    return bert_layers(w, h, "gelu")


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
@pytest.mark.parametrize("species", ["human", "mouse"])
@pytest.mark.parametrize(
    ("knowledge", "species_token"), [(KNOWLEDGE, True), (KNOWLEDGE, False), (("co_exp", "peca_grn"), True), ((), True)]
)
@torch.inference_mode()
def test_forward_is_that_of_the_equations(kind, species, knowledge, species_token, tmp_path):
    state = published_state(knowledge=knowledge, species_token=species_token)
    model = GeneCompass.load_published(write_folder(tmp_path / "m", state=state, kind=kind), species=species)
    rng, front, which = np.random.default_rng(0), int(species_token), ("human", "mouse").index(species)
    lengths = [9, 1, 5]
    index, values = np.zeros((3, 9 + front), dtype=np.int64), np.zeros((3, 9 + front), dtype=np.float32)
    for cell, n in enumerate(lengths):
        index[cell, front : front + n] = rng.choice(model.tokens, n, replace=False)
        values[cell, front : front + n] = rng.random(n) * 5
    index[:, :front] = N
    length = torch.tensor(lengths) + front
    x = Sequences(
        torch.from_numpy(index), length, torch.from_numpy(index) < N, torch.from_numpy(values),
        torch.full((3, 1), float(which)),
    )  # fmt: skip
    for number, h in enumerate(model.net.inputs(x)):
        for cell, n in enumerate(lengths):
            part = slice(front, front + n)
            expected = twin(state, index[cell, part].tolist(), values[cell, part].tolist(), which)
            np.testing.assert_allclose(h[cell, : n + front], expected[number], atol=1e-5)


def test_every_token_has_an_embedding_before_the_layers(tmp_path):
    state = published_state()
    table = GeneCompass.load_published(write_folder(tmp_path / "m", state=state)).net.token_embedding().numpy()
    assert table.shape == (N + 1, D)
    assert not table[N].any()
    state["bert.embeddings.position_embeddings.weight"].zero_()
    state["bert.embeddings.token_type_embeddings.weight"].zero_()
    w = {name.removeprefix("bert."): value.double().numpy() for name, value in state.items()}
    expected = twin(state, list(range(2, 9)), [0.0] * 7, 0)[0][1:]
    np.testing.assert_allclose(norm(table[2:9], w, "embeddings.LayerNorm"), expected, atol=1e-5)


@pytest.mark.parametrize("species", ["human", "mouse"])
@pytest.mark.parametrize("with_medians", [True, False])
def test_cells_become_ranked_genes_with_values(species, with_medians, tmp_path, caplog):
    genes = HUMAN if species == "human" else MOUSE
    medians = dict(zip(genes, np.random.default_rng(2).lognormal(size=len(genes)).tolist(), strict=True))
    (tmp_path / "medians.pickle").write_bytes(pickle.dumps(medians))
    given = tmp_path / "medians.pickle" if with_medians else None
    with caplog.at_level("INFO", logger="grnformer_sc"):
        model = GeneCompass.load_published(write_folder(tmp_path / "m"), species=species, medians=given)
    assert ("no medians, genes are ranked by their counts" in caplog.text) is not with_medians
    assert model.genes.tolist() == genes
    counts = np.random.default_rng(0).poisson(2.0, size=(6, 12)).astype(np.float32)
    names = [*genes, *[f"other{i}" for i in range(12 - len(genes))]]
    ((_, block),) = model.encode(model.counts_of(as_rows(sp.csr_matrix(counts)), pd.Index(names)))
    for cell in range(6):
        part = slice(block.starts[cell], block.starts[cell + 1])
        score = counts[cell, : len(genes)].astype(np.float64) / (list(medians.values()) if with_medians else 1)
        order = [i for i in np.argsort(-score, kind="stable") if score[i]][:PLACES]
        assert block.tokens[part].tolist() == [N, *(TOKENS[genes[i]] for i in order)]
        expected = np.log2(1 + score[order] / counts[cell].sum() * 1e4)
        np.testing.assert_allclose(block.values[part], [0, *expected], rtol=1e-6)
    assert block.context.tolist() == [[float(species == "mouse")]] * 6


def test_genes_of_the_mouse_have_the_words_of_their_homologues(tmp_path):
    """Without knowledge a mouse cell is the human cell of its homologues, but for the token of the species."""
    state = published_state(knowledge=(), species_token=False)
    folder = write_folder(tmp_path / "m", state=state)
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(3.0, size=(5, 8)).astype(np.float32))
    found = []
    for species, genes in (("human", HUMAN), ("mouse", MOUSE)):
        cells = AnnData(counts, var=pd.DataFrame(index=genes[:8]))
        grs.tl.embed(cells, GeneCompass.load_published(folder, species=species), device="cpu")
        found.append(cells.obsm["X_genecompass"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


class TestFiles:
    def test_every_key_and_checksum_is_reported(self, tmp_path):
        folder = write_folder(tmp_path / "m")
        model = grs.model.load_foundation(folder, species="mouse")
        assert isinstance(model, GeneCompass)
        assert model.report["status"].value_counts().to_dict() == {"loaded": 73, "unused": 4}
        assert set(model.sha256) == {"config.json", "pytorch_model.bin", "human_mouse_tokens.pickle"}
        digest = hashlib.sha256((folder / "pytorch_model.bin").read_bytes()).hexdigest()
        assert model.sha256["pytorch_model.bin"] == digest

    def test_the_dictionary_may_lie_above_or_elsewhere(self, tmp_path):
        folder = write_folder(tmp_path / "m")
        (folder / "human_mouse_tokens.pickle").rename(tmp_path / "human_mouse_tokens.pickle")
        assert GeneCompass.load_published(folder).genes.tolist() == HUMAN
        (tmp_path / "human_mouse_tokens.pickle").unlink()
        with pytest.raises(FileNotFoundError, match=r"needs its dictionary.*pass tokens=.*github.com/xCompass-AI"):
            GeneCompass.load_published(folder)
        (tmp_path / "other.json").write_text(json.dumps(TOKENS))
        assert GeneCompass.load_published(folder, tokens=tmp_path / "other.json").genes.tolist() == HUMAN
        with pytest.raises(FileNotFoundError, match=r"Found: none at .*no.json"):
            GeneCompass.load_published(folder, tokens=tmp_path / "no.json")

    def test_other_names_lead_to_genes_of_the_species(self, tmp_path):
        (tmp_path / "names.json").write_text(json.dumps({"SOX2": HUMAN[1], "Sox2": MOUSE[1]}))
        for species, name, gene in (("human", "SOX2", HUMAN[1]), ("mouse", "Sox2", MOUSE[1])):
            model = GeneCompass.load_published(
                write_folder(tmp_path / "m"), species=species, names=tmp_path / "names.json"
            )
            found = model.counts_of(as_rows(sp.csr_matrix(np.ones((1, 1), dtype=np.float32))), pd.Index([name]))
            assert found.matches["after"].tolist() == [gene]

    @pytest.mark.parametrize("kind", ["torch", "safetensors"])
    def test_a_cut_off_file_is_an_error(self, kind, tmp_path):
        folder = write_folder(tmp_path / "m", kind=kind)
        file = folder / ("pytorch_model.bin" if kind == "torch" else "model.safetensors")
        file.write_bytes(file.read_bytes()[:-700])
        with pytest.raises(ValueError, match=rf"{file.name} must be a whole .* file.*download it again"):
            GeneCompass.load_published(folder)

    def test_files_that_run_code_are_refused_by_name(self, tmp_path):
        trap = Trap(tmp_path / "trap")
        folder = write_folder(tmp_path / "m", state=published_state() | {"bert.x": trap})
        with pytest.raises(ValueError, match=r"pytorch_model.bin must be .*it asks for (_?io\.)?open"):
            grs.model.load_foundation(folder)
        folder = write_folder(tmp_path / "m", tokens={"<pad>": trap})
        with pytest.raises(ValueError, match=r"human_mouse_tokens.pickle must be a pickle of.*asks for (_?io\.)?open"):
            GeneCompass.load_published(folder)
        assert not (tmp_path / "trap").exists()

    def test_a_pointer_of_git_lfs_is_named(self, tmp_path):
        folder = write_folder(tmp_path / "m")
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        (folder / "human_mouse_tokens.pickle").write_bytes(pointer)
        with pytest.raises(ValueError, match=r"Found: a pointer of Git LFS.*git lfs pull"):
            GeneCompass.load_published(folder)

    @pytest.mark.parametrize(
        ("config", "change", "text"),
        [
            ({"model_type": "gpt2"}, {}, "describe a BERT.*Found: model_type 'gpt2'"),
            ({"num_hidden_layers": 4}, {}, r"16 missing \[layers\.3\.query\.weight"),
            ({"hidden_size": 16}, {}, r"shape \[bert.embeddings.word_embeddings.weight 24 x 8, not 24 x 16"),
            ({"vocab_size": 25}, {}, "token for each of the 25 rows.*Found: 24 tokens, the first gene ENSG00000000000"),
            (
                {},
                {"concat_embeddings": None},
                "must hold concat_embeddings.*Found: a BERT without them.*grs.model.Geneformer",
            ),
            ({}, {"co_exp_knowledge": None}, r"Found: no \[co_exp_knowledge\].*saved with its buffers"),
            ({}, {"homologous_index": None}, r"1 missing \[homologous_index\]"),
            ({}, {"homologous_index": torch.full((N,), N)}, r"homologous_index .* below 24. Found: 24"),
            ({}, {"concat_embeddings.cat_fc.weight": torch.ones(D, 40)}, r"cat_fc.weight 8 x 40, not 8 x 41"),
        ],
    )
    def test_another_architecture_is_named_by_its_first_difference(self, config, change, text, tmp_path):
        state = published_state()
        for name, value in change.items():
            if value is None:
                state = {key: tensor for key, tensor in state.items() if name not in key}
            else:
                state[f"bert.embeddings.{name}"] = value
        with pytest.raises(ValueError, match=text):
            GeneCompass.load_published(write_folder(tmp_path / "m", config=config, state=state))

    @pytest.mark.parametrize(
        ("tokens", "text"),
        [
            (TOKENS | {MOUSE[-1]: 40}, "Found: 'ENSMUSG00000000009' as 40 where 23 is due"),
            ({f"g{i}": i for i in range(N)}, "genes of the mouse. Found: none among 24 names, the first "),
            (dict(list(TOKENS.items())[:20]), "each of the 24 rows of the model. Found: 20 tokens"),
        ],
    )
    def test_another_vocabulary_is_named_by_its_first_difference(self, tokens, text, tmp_path):
        with pytest.raises(ValueError, match=text):
            GeneCompass.load_published(write_folder(tmp_path / "m", tokens=tokens), species="mouse")

    def test_medians_of_others_are_named_and_missing_ones_logged(self, tmp_path, caplog):
        folder, file = write_folder(tmp_path / "m"), tmp_path / "medians.json"
        for medians, text in (
            (dict.fromkeys(MOUSE, 1.0), "of genes of the human. Found: none of 12 genes"),
            (dict.fromkeys(HUMAN, 1.0) | {HUMAN[3]: 0.0}, "Found: median 0.0 of 'ENSG00000000003'"),
        ):
            file.write_text(json.dumps(medians))
            with pytest.raises(ValueError, match=text):
                GeneCompass.load_published(folder, medians=file)
        file.write_text(json.dumps(dict.fromkeys(HUMAN[:9], 1.0)))
        assert GeneCompass.load_published(folder, medians=file).genes.tolist() == HUMAN[:9]
        assert "3 of 12 genes of the human have no median" in caplog.text


def test_species_and_sizes_that_do_not_exist_are_named():
    with pytest.raises(TypeError, match=r"sizes are \[dim, heads, hidden, layers, n_places\]. Found: \[depth\]"):
        GeneCompass.untrained(HUMAN, depth=3)
    with pytest.raises(ValueError, match=r"knowledge must be one of \[promoter, co_exp, gene_family, peca_grn\]"):
        GeneCompass.untrained(HUMAN, knowledge=["go"])
