"""scFoundation: equal to a plain twin of its equations, cell by cell, from a file in the published layout."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc.nn.backbones import ScFoundation, ScFoundationConfig
from grnformer_sc.nn.backbones.performer import orthogonal_features, softmax_features
from grnformer_sc.nn.backbones.published import renamed
from grnformer_sc.nn.backbones.scfoundation_file import RENAMED, read_vocabulary
from grnformer_sc.nn.batch import CellBatch

G, CELLS = 15, 4
TINY = ScFoundationConfig(
    n_genes=G, dim=8, layers=2, heads=2, dropout=0.0, decoder_dim=12, decoder_layers=2, decoder_heads=2, decoder_dim_head=4,
    n_codes=7,
)  # fmt: skip


def published_state(*, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file, in its shapes."""
    rng = torch.Generator().manual_seed(seed)
    d, e, b, inner, m = 8, 12, 7, 8, int(4 * math.log(4))
    shapes = {
        "token_emb.mlp.weight": (b, 1), "token_emb.mlp.bias": (b,), "token_emb.mlp2.weight": (b, b),
        "token_emb.mlp2.bias": (b,), "token_emb.emb.weight": (b, d), "token_emb.emb_mask.weight": (1, d),
        "token_emb.emb_pad.weight": (1, d), "pos_emb.weight": (G + 3, d), "encoder.norm.weight": (d,),
        "encoder.norm.bias": (d,), "decoder_embed.weight": (e, d), "decoder_embed.bias": (e,), "norm.weight": (e,),
        "norm.bias": (e,), "to_final.weight": (1, e), "to_final.bias": (1,), "decoder.norm.weight": (e,),
        "decoder.norm.bias": (e,),
    }  # fmt: skip
    for i in range(2):
        at = f"encoder.transformer_encoder.{i}."
        shapes |= {
            at + "self_attn.in_proj_weight": (3 * d, d), at + "self_attn.in_proj_bias": (3 * d,),
            at + "self_attn.out_proj.weight": (d, d), at + "self_attn.out_proj.bias": (d,),
            at + "linear1.weight": (4 * d, d), at + "linear1.bias": (4 * d,), at + "linear2.weight": (d, 4 * d),
            at + "linear2.bias": (d,), **{f"{at}norm{n}.{part}": (d,) for n in (1, 2) for part in ("weight", "bias")},
        }  # fmt: skip
        at = f"decoder.performer.net.layers.{i}."
        shapes |= {
            at + "0.norm.weight": (e,), at + "0.norm.bias": (e,), at + "0.fn.fast_attention.projection_matrix": (m, 4),
            **{f"{at}0.fn.to_{q}.weight": (inner, e) for q in "qkv"}, **{f"{at}0.fn.to_{q}.bias": (inner,) for q in "qkv"},
            at + "0.fn.to_out.weight": (e, inner), at + "0.fn.to_out.bias": (e,), at + "1.norm.weight": (e,),
            at + "1.norm.bias": (e,), at + "1.fn.fn.w1.weight": (4 * e, e), at + "1.fn.fn.w1.bias": (4 * e,),
            at + "1.fn.fn.w2.weight": (e, 4 * e), at + "1.fn.fn.w2.bias": (e,),
        }  # fmt: skip
    state = {f"model.{name}": torch.randn(shape, generator=rng) * 0.5 for name, shape in shapes.items()}
    return state | {"model.decoder.performer.calls_since_last_redraw": torch.tensor(12)}


def write_file(folder: Path, *, state: dict | None = None, kind: str = "mae_autobin", seq_len: int = G + 2) -> Path:
    """A models.ckpt in the published layout, with its list of genes beside it."""
    folder.mkdir()
    sizes = {
        "seq_len": seq_len, "bin_num": 7, "bin_alpha": 1.0, "pad_token_id": 103, "mask_token_id": 102, "n_class": 104,
        "model": kind,
        "encoder": {"hidden_dim": 8, "depth": 2, "heads": 2, "dim_head": 4, "module_type": "transformer", "norm_first": False},
        "decoder": {"hidden_dim": 12, "depth": 2, "heads": 2, "dim_head": 4, "module_type": "performer", "norm_first": False},
    }  # fmt: skip
    config = {"model": kind, "model_config": {kind: sizes}, "dataset_config": {"rnaseq": {"zero_mask_prob": 0.03}}}
    models = {
        part: {"config": config, "state_dict": published_state(seed=i)} for i, part in enumerate(("cell", "gene"))
    }
    if state is not None:
        models["cell"]["state_dict"] = state
    torch.save(models, folder / "models.ckpt")
    rows = "".join(f"G{i}\t{i}\n" for i in range(G))
    (folder / "OS_scRNA_gene_index.19264.tsv").write_text("gene_name\tindex\n" + rows)
    return folder


def batch(*, seed: int = 0) -> CellBatch:
    """Expressed visible genes (padded), then three masked ones; the other visible genes are zeros."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.2, (CELLS, G)).astype(np.float32)
    order = rng.permuted(np.tile(np.arange(G), (CELLS, 1)), axis=1)
    queries = np.sort(order[:, :3], axis=1)
    hidden = np.zeros((CELLS, G), dtype=bool)
    np.put_along_axis(hidden, order[:, :5], True, axis=1)  # two masked genes are not asked for
    shown = np.where(hidden, 0, x)
    width = int((shown > 0).sum(axis=1).max())
    genes, values, padding = (
        np.zeros((CELLS, width), int),
        np.zeros((CELLS, width), np.float32),
        np.ones((CELLS, width), bool),
    )
    for c in range(CELLS):
        here = np.flatnonzero(shown[c])
        genes[c, : here.size], values[c, : here.size], padding[c, : here.size] = here, shown[c, here], False
    ask = np.ones((CELLS, 3), bool)
    counts = np.concatenate([np.zeros_like(values), np.take_along_axis(x, queries, axis=1)], axis=1)
    depth = np.log10(np.stack([x.sum(axis=1) + 5, x.sum(axis=1) + 2], axis=1)).astype(np.float32)
    t = torch.from_numpy
    return CellBatch(
        genes=t(np.concatenate([genes, queries], axis=1)), values=t(np.concatenate([values, 0 * ask.astype(np.float32)], axis=1)),
        masked=t(np.concatenate([np.zeros_like(padding), ask], axis=1)), padding=t(np.concatenate([padding, ~ask], axis=1)),
        counts=t(counts), log_size=torch.zeros(CELLS), group=torch.zeros(CELLS, dtype=torch.long),
        bits=torch.zeros(CELLS, 0, dtype=torch.bool), visible=t(shown > 0), shown=t(~hidden), edges=torch.ones(CELLS, 4),
        depth=t(depth),
    )  # fmt: skip


def twin(s: dict[str, np.ndarray], cell: CellBatch, c: int) -> tuple[np.ndarray, np.ndarray]:
    """One cell by the equations, in float64 loops over layers: prediction of all genes and the encoded places."""

    def lin(x, name):
        return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * s[f"{name}.weight"] + s[f"{name}.bias"]

    def softmax(x):
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)

    def value(v):
        h = lin(np.array([v]), "token_emb.mlp")
        h = np.where(h > 0, h, 0.1 * h)
        return softmax(h + lin(h, "token_emb.mlp2")) @ s["token_emb.emb.weight"]

    def heads(x):
        return x.reshape(x.shape[0], 2, -1).transpose(1, 0, 2)

    def gelu(x):
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    target, seen = (float(d) for d in cell.depth[c])
    token = (~cell.padding[c] & ~cell.masked[c]).numpy()
    genes = cell.genes[c].numpy()[token]
    logs = np.log1p(cell.values[c].numpy()[token].astype(float) * 1e4 / 10**seen)
    pos = s["pos_emb.weight"]
    x = np.array([value(v) + pos[g] for v, g in zip([*logs, target, seen], [*genes, G, G + 1], strict=True)])
    for i in range(2):
        at = f"encoder.transformer_encoder.{i}."
        q, k, v = (
            heads(p)
            for p in np.split(x @ s[at + "self_attn.in_proj_weight"].T + s[at + "self_attn.in_proj_bias"], 3, axis=1)
        )
        a = softmax(q @ k.transpose(0, 2, 1) / 2) @ v
        x = norm(x + lin(a.transpose(1, 0, 2).reshape(x.shape), at + "self_attn.out_proj"), at + "norm1")
        x = norm(x + lin(np.maximum(lin(x, at + "linear1"), 0), at + "linear2"), at + "norm2")
    x = norm(x, "encoder.norm")
    y = np.array([value(0.0) if cell.shown[c, g] else s["token_emb.emb_mask.weight"][0] for g in range(G)])
    y = np.concatenate([y, np.zeros((2, 8))])
    y[[*genes, G, G + 1]] = x
    y = lin(y + pos[: G + 2], "decoder_embed")
    for i in range(2):
        at = f"decoder.performer.net.layers.{i}."
        h = norm(y, at + "0.norm")
        q, k, v = (heads(lin(h, f"{at}0.fn.to_{part}")) / (4**0.25 if part != "v" else 1) for part in "qkv")
        w = s[at + "0.fn.fast_attention.projection_matrix"]
        eq, ek = q @ w.T, k @ w.T
        q = (np.exp(eq - (q**2).sum(-1, keepdims=True) / 2 - eq.max(-1, keepdims=True)) + 1e-4) / math.sqrt(len(w))
        k = (np.exp(ek - (k**2).sum(-1, keepdims=True) / 2 - ek.max()) + 1e-4) / math.sqrt(len(w))
        a = q @ (k.transpose(0, 2, 1) @ v) / (q @ k.sum(1)[:, :, None])
        y = y + lin(a.transpose(1, 0, 2).reshape(G + 2, -1), at + "0.fn.to_out")
        y = y + lin(gelu(lin(norm(y, at + "1.norm"), at + "1.fn.fn.w1")), at + "1.fn.fn.w2")
    y = norm(norm(y, "decoder.norm"), "norm")
    return lin(y, "to_final")[:G, 0], x


def test_the_forward_pass_equals_its_equations(tmp_path):
    model = ScFoundation.read_published(write_file(tmp_path / "m")).backbone
    state = {key.removeprefix("model."): value.double().numpy() for key, value in published_state().items()}
    mean = ScFoundation(dataclasses.replace(TINY, pool="mean")).requires_grad_(requires_grad=False)
    mean.load_state_dict(model.state_dict())
    cells = batch()
    with torch.no_grad():
        x = model.last_layer(model.encode(model.embed(cells, cells.padding)))
        read = model.read(x, cells)
        predicted = model.predict(read.tokens)
    for c in range(CELLS):
        expected, encoded = twin(state, cells, c)
        keep = ~cells.padding[c]
        np.testing.assert_allclose(predicted[c][keep], expected[cells.genes[c][keep]], atol=2e-5)
        np.testing.assert_allclose(read.cells[c], encoded.max(axis=0), atol=2e-5)
        np.testing.assert_allclose(mean.read(x, cells).cells[c], encoded.mean(axis=0), atol=2e-5)


def test_a_file_in_the_published_layout_loads_key_by_key(tmp_path):
    found = ScFoundation.read_published(write_file(tmp_path / "m") / "models.ckpt")
    state, own = published_state(), found.backbone.state_dict()
    report = found.report.set_index("key")
    assert set(report.index) == set(state)
    assert set(report.loc[report["status"] == "loaded", "parameter"]) == set(own)
    assert list(report.index[report["status"] == "unused"]) == ["model.decoder.performer.calls_since_last_redraw"]
    for key, value in state.items():
        if report.loc[key, "status"] == "loaded":
            assert torch.equal(own[renamed(key, RENAMED)], value), key
    assert list(found.vocabulary) == [f"G{i}" for i in range(G)]
    assert found.backbone.config == dataclasses.replace(TINY, dropout=0.1)


def test_parts_of_the_file_and_vocabularies_are_chosen(tmp_path):
    folder = write_file(tmp_path / "m")
    gene = ScFoundation.read_published(folder, part="gene", vocabulary=[f"x{i}" for i in range(G)])
    assert torch.equal(gene.backbone.pos_emb.weight, published_state(seed=1)["model.pos_emb.weight"])
    assert gene.vocabulary[0] == "x0"
    with pytest.raises(ValueError, match=r"must hold 'rde'.*\[cell, gene\]"):
        ScFoundation.read_published(folder, part="rde")
    with pytest.raises(ValueError, match=r"vocabulary of 15 genes.*Found: 3"):
        ScFoundation.read_published(folder, vocabulary=["A", "B", "C"])
    with pytest.raises(TypeError, match=r"\[part, vocabulary\].*\[kind\]"):
        ScFoundation.read_published(folder, kind=1)
    (folder / "OS_scRNA_gene_index.19264.tsv").write_text("gene_name\tindex\nA\t4\n")
    with pytest.raises(ValueError, match="in the order of the index"):
        ScFoundation.read_published(folder)
    (folder / "OS_scRNA_gene_index.19264.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"pass vocabulary="):
        ScFoundation.read_published(folder)


def test_other_architectures_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"must be 'mae_autobin'.*'performer_gau'"):
        ScFoundation.read_published(write_file(tmp_path / "gau", kind="performer_gau"))
    less = {key: value for key, value in published_state().items() if "layers.1.1.fn" not in key}
    with pytest.raises(ValueError, match=r"4 missing \[decoder.layers.1.w1.weight, "):
        ScFoundation.read_published(write_file(tmp_path / "less", state=less))
    torch.save({"encoder.embedding.weight": torch.zeros(2, 2)}, tmp_path / "less" / "models.ckpt")
    with pytest.raises(ValueError, match=r"must hold 'cell'.*\[encoder.embedding.weight\]"):
        ScFoundation.read_published(tmp_path / "less")


@pytest.mark.realdata
def test_the_real_list_of_genes_and_the_published_sizes_agree(data_dir):
    from grnformer_sc.model import ModelConfig

    genes = read_vocabulary(data_dir / "gene_vocab" / "scfoundation_gene_index_19264.tsv.gz", Path("models.ckpt"))
    assert genes.size == 19_264
    assert {"A1BG", "ZZZ3", "TP53"} <= set(genes)
    config = ModelConfig.published("scfoundation", use_grn=False, loss="mse").backbone_config(genes.size)
    with torch.device("meta"):
        sizes = {name: tuple(p.shape) for name, p in ScFoundation(config).state_dict().items()}
    assert sizes["pos_emb.weight"] == (19_267, 768)
    assert sizes["encoder.layers.11.linear1.weight"] == (3072, 768)
    assert sizes["decoder.layers.5.attention.projection"] == (266, 64)


def test_features_are_orthogonal_within_blocks_and_approximate_softmax():
    torch.manual_seed(0)
    w = orthogonal_features(12, 8)
    unit = torch.nn.functional.normalize(w[:8], dim=1)
    torch.testing.assert_close(unit @ unit.T, torch.eye(8), atol=1e-5, rtol=0)
    many, x = orthogonal_features(4096, 8), torch.randn(1, 1, 6, 8) * 0.5
    q, k = softmax_features(x, many, shared=False), softmax_features(x, many, shared=True)
    found = q @ k.transpose(2, 3)
    exact = (x @ x.transpose(2, 3) / 8**0.5).softmax(dim=-1)
    torch.testing.assert_close(found / found.sum(dim=-1, keepdim=True), exact, atol=0.03, rtol=0)


def test_a_cell_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    model, cells = ScFoundation(TINY).eval(), batch()
    one = CellBatch(**{f.name: getattr(cells, f.name)[[2]] for f in dataclasses.fields(cells)})
    outs = [model.read(model.encode(model.embed(b, b.padding)), b) for b in (cells, one)]
    keep = ~cells.padding[2]
    torch.testing.assert_close(outs[0].tokens[2][keep], outs[1].tokens[0][keep], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(outs[0].cells[2], outs[1].cells[0], atol=1e-5, rtol=1e-5)


def test_values_are_log_counts_at_the_depth_that_is_asked_for():
    model, cells = ScFoundation(TINY), batch()
    found = model.values(cells.counts, cells)[cells.masked]
    total = 10 ** cells.depth[:, :1].expand_as(cells.counts)[cells.masked]
    torch.testing.assert_close(found, torch.log1p(cells.counts[cells.masked] * 1e4 / total))
    torch.testing.assert_close(
        model.counts(model.values(cells.counts, cells), cells)[cells.masked],
        cells.counts[cells.masked],
        atol=1e-4,
        rtol=1e-4,
    )
