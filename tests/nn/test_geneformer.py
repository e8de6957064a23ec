"""Geneformer in its published layout: equal to a plain twin of BERT's equations, and strict about its files."""

from __future__ import annotations

import hashlib
import json
import pickle
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from safetensors.torch import save_file

from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import Geneformer
from grnformer_sc.nn.foundation.geneformer_file import vocabulary_of
from grnformer_sc.nn.foundation.geneformer_tokens import rank_tokens

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
norm, bert_layers, bert_shapes = helpers["norm"], helpers["bert_layers"], helpers["bert_shapes"]
GENES = [f"ENSG{i:011d}" for i in range(20)]
D, F, PLACES = 8, 12, 12
CONFIG = {
    "model_type": "bert", "hidden_act": "relu", "hidden_size": D, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": F, "max_position_embeddings": PLACES, "layer_norm_eps": 1e-12, "type_vocab_size": 2,
}  # fmt: skip


def tokens_of(*, framed: bool = False) -> dict[str, int]:
    names = ["<pad>", "<mask>", *(("<cls>", "<eos>") if framed else ()), *GENES]
    return {name: i for i, name in enumerate(names)}


def medians_of() -> dict[str, float]:
    return dict(zip(GENES, np.random.default_rng(1).lognormal(size=20).tolist(), strict=True))


def published_state(n_tokens: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file, in its shapes."""
    shapes = bert_shapes(n_tokens, PLACES, d=D, hidden=F) | {"cls.predictions.bias": (n_tokens,)}
    return helpers["random_state"](shapes | {"cls.predictions.transform.dense.weight": (D, D)}, seed=seed)


def write_folder(
    folder: Path, *, framed: bool = False, config: dict | None = None, state: dict | None = None,
    tokens: dict | None = None, medians: dict | None = None, kind: str = "safetensors",
) -> Path:  # fmt: skip
    """A folder with the weights and the dictionaries, as published."""
    folder.mkdir(exist_ok=True)
    n_tokens = 20 + (4 if framed else 2)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": n_tokens} | (config or {})))
    state = published_state(n_tokens) if state is None else state
    if kind == "safetensors":
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(state, folder / "pytorch_model.bin")
    content = {
        "token_dictionary": tokens or tokens_of(framed=framed), "gene_median_dictionary": medians or medians_of(),
        "gene_name_id_dict": {f"GENE{i}": gene for i, gene in enumerate(GENES)},
    }  # fmt: skip
    for name, value in content.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value))
    return folder


def bert(state: dict[str, torch.Tensor], tokens: list[int], activation: str = "relu") -> list[np.ndarray]:
    """Hidden states of one cell: a plain transcription of the equations, without padding, in float64."""
    w = {name.removeprefix("bert."): value.double().numpy() for name, value in state.items()}
    e = "embeddings."
    h = w[e + "word_embeddings.weight"][tokens] + w[e + "position_embeddings.weight"][: len(tokens)]
    return bert_layers(w, norm(h + w[e + "token_type_embeddings.weight"][0], w, e + "LayerNorm"), activation)


def some_counts(*, seed: int = 0, n_cells: int = 9) -> sp.csr_matrix:
    """Cells of very different depth, one with a single gene, many ties."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.lognormal(-1, 1.5, size=(n_cells, 1)), size=(n_cells, 20)).astype(np.float32)
    x[:, 3] += x.sum(axis=1) == 0
    x[0], x[0, 7] = 0, 3
    return sp.csr_matrix(x)


def tokenizer(counts: np.ndarray, tokens: dict[str, int], medians: dict[str, float], *, limit: int) -> list[list[int]]:
    """The published rule, cell by cell: scaled by total and median, descending, cut, framed."""
    out = []
    for row in counts.astype(np.float64):
        scaled = row / row.sum() * 10_000 / np.array([medians[gene] for gene in GENES])
        order = [i for i in np.argsort(-scaled, kind="stable") if row[i]]
        ids = [tokens[GENES[i]] for i in order]
        framed = "<cls>" in tokens
        out.append([tokens["<cls>"], *ids[: limit - 2], tokens["<eos>"]] if framed else ids[:limit])
    return out


def sequences(model: Geneformer, counts: sp.csr_matrix, genes: list[str] = GENES) -> list[list[int]]:
    found = model.encode(model.counts_of(as_rows(counts), pd.Index(genes)))
    return [
        block.tokens[a:b].tolist()
        for _, block in found
        for a, b in zip(block.starts[:-1], block.starts[1:], strict=True)
    ]


@pytest.mark.parametrize("framed", [False, True])
class TestTokens:
    def test_are_those_of_the_published_rule(self, framed, tmp_path):
        model = Geneformer.load_published(write_folder(tmp_path / "m", framed=framed))
        counts = some_counts(n_cells=40)
        expected = tokenizer(counts.toarray(), tokens_of(framed=framed), medians_of(), limit=PLACES)
        assert sequences(model, counts) == expected
        assert max(map(len, expected)) == PLACES
        assert min(map(len, expected)) == (3 if framed else 1)

    def test_do_not_depend_on_the_order_of_genes_nor_on_others(self, framed, tmp_path):
        model = Geneformer.load_published(write_folder(tmp_path / "m", framed=framed))
        counts, order = some_counts(n_cells=30), np.random.default_rng(3).permutation(20)
        more = sp.hstack([counts[:, order], counts[:, :4] * 50]).tocsr()
        names = [GENES[i] for i in order] + [f"lncRNA{i}" for i in range(4)]
        assert sequences(model, more, names) == sequences(model, counts)


def test_ties_are_in_the_order_of_tokens():
    vocabulary = vocabulary_of(tokens_of(), dict.fromkeys(GENES, 2.0), {})
    found = rank_tokens(sp.csr_matrix(np.full((2, 20), 5, dtype=np.float32)), vocabulary, n_places=6)
    assert found.tokens.tolist() == [2, 3, 4, 5, 6, 7] * 2


def test_counts_of_genes_with_one_token_are_added_up(tmp_path):
    model = Geneformer.load_published(write_folder(tmp_path / "m"))
    counts = some_counts()
    both = sp.hstack([counts, counts[:, 4:5]]).tocsr()
    added = counts.toarray()
    added[:, 4] *= 2
    assert sequences(model, both, [*GENES, "GENE4"]) == sequences(model, sp.csr_matrix(added))


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
@pytest.mark.parametrize(
    ("framed", "pool", "activation"), [(False, "mean", "relu"), (True, "mean", "gelu"), (True, "cls", "relu")]
)
@pytest.mark.parametrize("emb_layer", [0, -1, -3])
def test_embeddings_are_those_of_the_equations(kind, framed, pool, activation, emb_layer, tmp_path):
    model = Geneformer.load_published(
        write_folder(tmp_path / "m", framed=framed, kind=kind, config={"hidden_act": activation})
    )
    counts = model.counts_of(as_rows(some_counts()), pd.Index(GENES))
    how = model.reading(emb_layer=emb_layer, pool=pool, batch_size=4, device="cpu")
    of_cells, of_genes = model.embed(counts, how)
    state, edge = published_state(model.vocabulary.n_tokens), 1 if framed else 0
    cells, by_gene = [], {}
    for ids in sequences(model, some_counts()):
        h = bert(state, ids, activation)[3 + emb_layer]
        inner = slice(edge, len(ids) - edge)
        cells.append(h[inner].mean(axis=0) if pool == "mean" else h[0])
        for token, row in zip(ids[inner], h[inner], strict=True):
            by_gene.setdefault(token, []).append(row)
    np.testing.assert_allclose(of_cells, cells, atol=1e-5)
    expected = np.full((20, D), np.nan)
    for token, rows in by_gene.items():
        expected[token - (4 if framed else 2)] = np.mean(rows, axis=0)
    np.testing.assert_allclose(of_genes, expected, atol=1e-5)


def test_batches_and_blocks_move_nothing(tmp_path):
    model = Geneformer.load_published(write_folder(tmp_path / "m"))
    counts = model.counts_of(as_rows(some_counts(n_cells=30)), pd.Index(GENES))
    first, second = (model.embed(counts, model.reading(batch_size=n, device="cpu")) for n in (1, 30))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_half_precision_is_near(tmp_path):
    model = Geneformer.load_published(write_folder(tmp_path / "m"))
    counts = model.counts_of(as_rows(some_counts()), pd.Index(GENES))
    full, half = (model.embed(counts, model.reading(precision=p, device="cpu"))[0] for p in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.1


class TestFiles:
    def test_every_key_and_checksum_is_reported(self, tmp_path):
        model = Geneformer.load_published(write_folder(tmp_path / "m"))
        assert model.report["status"].value_counts().to_dict() == {"loaded": 53, "unused": 2}
        digest = hashlib.sha256((tmp_path / "m" / "model.safetensors").read_bytes()).hexdigest()
        assert model.sha256["model.safetensors"] == digest
        assert len(model.sha256) == 5

    @pytest.mark.parametrize("prefix", ["bert.", ""])
    def test_fine_tuned_models_and_bare_encoders_are_read(self, prefix, tmp_path):
        state = {
            name.replace("bert.", prefix): v for name, v in published_state(22).items() if not name.startswith("cls.")
        }
        state |= {f"{prefix}pooler.dense.weight": torch.zeros(D, D), "classifier.weight": torch.zeros(2, D)}
        model = Geneformer.load_published(write_folder(tmp_path / "m", state=state))
        assert (model.report["status"] == "unused").sum() == 2

    def test_dictionaries_may_be_json_or_one_table(self, tmp_path):
        folder = write_folder(tmp_path / "m")
        for kind in ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict"):
            content = pickle.loads((folder / f"{kind}.pkl").read_bytes())  # noqa: S301  our own file
            (tmp_path / f"{kind}.json").write_text(json.dumps(content))
        table = pd.DataFrame(
            {"token": tokens_of(), "median": medians_of(), "symbol": {g: f"GENE{i}" for i, g in enumerate(GENES)}}
        )
        table.rename_axis("ensembl").to_csv(tmp_path / "all.csv.gz")
        files = [tmp_path / f"{k}.json" for k in ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict")]
        ways = (
            {},
            dict(zip(("tokens", "medians", "names"), files, strict=True)),
            {"tokens": tmp_path / "all.csv.gz"},
        )
        first, *others = (Geneformer.load_published(folder, **way).vocabulary for way in ways)
        for other in others:
            assert first.genes.equals(other.genes)
            assert (first.special, first.names) == (other.special, other.names)
            np.testing.assert_array_equal(first.token, other.token)
            np.testing.assert_array_equal(first.median, other.median)

    @pytest.mark.parametrize("kind", ["safetensors", "torch"])
    def test_a_cut_off_file_is_an_error(self, kind, tmp_path):
        file = write_folder(tmp_path / "m", kind=kind) / (
            "model.safetensors" if kind == "safetensors" else "pytorch_model.bin"
        )
        file.write_bytes(file.read_bytes()[:-700])
        with pytest.raises(ValueError, match=rf"{file.name} must be a whole .* file.*download it again"):
            Geneformer.load_published(tmp_path / "m")

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"model_type": "gpt2"}, "describe a BERT.*Found: model_type 'gpt2'"),
            ({"hidden_act": "silu"}, "Found: hidden_act 'silu'"),
            ({"position_embedding_type": "relative_key"}, "Found: position_embedding_type 'relative_key'"),
            ({"hidden_size": "8"}, "Found: hidden_size '8'"),
            ({"num_attention_heads": 3}, r"must divide dim \(hidden_size\). Found: 3 and 8"),
            (
                {"intermediate_size": 13},
                r"9 shape \[bert\.encoder\.layer\.0\.intermediate\.dense\.bias 12, not 13",
            ),
            ({"num_hidden_layers": 4}, r"16 missing \[layers\.3\.query\.weight"),
            ({"num_hidden_layers": 2}, r"16 unexpected \[bert\.encoder\.layer\.2\."),
            (
                {"vocab_size": 21},
                "token for each of the 21 rows of the model. Found: 22 tokens, the first gene ENSG00000000000",
            ),
        ],
    )
    def test_another_architecture_is_named_by_its_first_difference(self, change, text, tmp_path):
        with pytest.raises(ValueError, match=text):
            Geneformer.load_published(write_folder(tmp_path / "m", config=change))

    def test_what_does_not_fit_is_left_out_on_demand(self, tmp_path):
        folder = write_folder(tmp_path / "m", config={"num_hidden_layers": 2})
        assert Geneformer.load_published(folder, strict=False).net.config.layers == 2

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"tokens": tokens_of(framed=True)}, "22 rows of the model. Found: 24 tokens"),
            (
                {"tokens": {**tokens_of(), GENES[5]: 50}},
                "number its tokens.*Found: 'ENSG00000000006' as 8 where 7 is due",
            ),
            ({"tokens": {f"g{i}": i for i in range(22)}}, "Found: no '<pad>'"),
            ({"medians": dict(list(medians_of().items())[1:])}, "Found: no median of 'ENSG00000000000'"),
            ({"medians": medians_of() | {GENES[2]: 0.0}}, "Found: median 0.0 of 'ENSG00000000002'"),
        ],
    )
    def test_another_vocabulary_is_named_by_its_first_difference(self, change, text, tmp_path):
        with pytest.raises(ValueError, match=text):
            Geneformer.load_published(write_folder(tmp_path / "m", **change))

    def test_missing_files_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"folder with config.json.*Found: no folder"):
            Geneformer.load_published(tmp_path / "none")
        folder = write_folder(tmp_path / "m")
        (folder / "token_dictionary.pkl").rename(tmp_path / "elsewhere.pkl")
        with pytest.raises(FileNotFoundError, match=r"dictionary of tokens \(token_dictionary\*.*pass tokens="):
            Geneformer.load_published(folder)
        assert Geneformer.load_published(folder, tokens=tmp_path / "elsewhere.pkl").vocabulary.genes.size == 20
        with pytest.raises(FileNotFoundError, match=r"dictionary of medians must exist"):
            Geneformer.load_published(folder, tokens=tmp_path / "elsewhere.pkl", medians=tmp_path / "no.json")

    def test_a_dictionary_that_runs_code_is_refused(self, tmp_path):
        folder = write_folder(tmp_path / "m")
        (folder / "token_dictionary.pkl").write_bytes(f"cposix\nsystem\n(S'touch {tmp_path}/trap'\ntR.".encode())
        with pytest.raises(ValueError, match=r"token_dictionary.pkl must be a pickle of.*asks for posix.system"):
            Geneformer.load_published(folder)
        assert not (tmp_path / "trap").exists()


@pytest.mark.realdata
def test_the_published_vocabulary_is_read_and_matched_by_symbol(data_dir, tmp_path):
    table = data_dir / "gene_vocab" / "geneformer_30M_tokens.csv.gz"
    state = published_state(25426)
    folder = write_folder(tmp_path / "m", config={"vocab_size": 25426}, state=state)
    model = Geneformer.load_published(folder, tokens=table)
    assert model.vocabulary.genes.size == 25424
    assert not model.vocabulary.framed
    genes = pd.Index(["SOX2", "ENSG00000141510.18", "POU5F1", "GATA1", "no gene"])
    counts = model.counts_of(as_rows(sp.csr_matrix(np.ones((1, 5), dtype=np.float32))), genes)
    ids = ["ENSG00000181449", "ENSG00000141510", "ENSG00000204531", "ENSG00000102145", ""]
    assert counts.matches["after"].tolist() == ids
    ((_, block),) = model.encode(counts)
    published = pd.read_csv(table, index_col=0).loc[ids[:4]].sort_values("median")
    assert block.tokens.tolist() == published["token"].tolist()
