"""scGPT: equal to the original program's outputs, with every form of its files."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.nn.backbones import ScGPT, ScGPTConfig
from grnformer_sc.nn.backbones.layers import Heard
from grnformer_sc.nn.batch import CellBatch
from grnformer_sc.nn.values import bin_of, count_of_bin

N_EDGES = 10


@pytest.fixture
def folder(golden_dir):
    return golden_dir / "scgpt"


def batch(n_genes: int = 20, *, n_cells: int = 4, seed: int = 0) -> CellBatch:
    """Visible tokens (some padded), then three masked genes."""
    g = torch.Generator().manual_seed(seed)
    masked = torch.zeros(n_cells, 11, dtype=torch.bool)
    masked[:, 8:] = True
    padding = torch.zeros(n_cells, 11, dtype=torch.bool)
    padding[0, 6:8] = True
    counts = torch.randint(1, 9, (n_cells, 11), generator=g).float()
    shown = torch.rand(n_cells, n_genes, generator=g) < 0.6
    return CellBatch(
        genes=torch.stack([torch.randperm(n_genes, generator=g)[:11] for _ in range(n_cells)]),
        values=counts.masked_fill(masked | padding, 0), masked=masked, padding=padding,
        counts=torch.randint(0, 9, (n_cells, 11), generator=g).float() * masked, log_size=torch.zeros(n_cells),
        group=torch.zeros(n_cells, dtype=torch.long), bits=torch.zeros(n_cells, 0, dtype=torch.bool), visible=shown,
        shown=shown, edges=torch.sort(torch.randint(1, 9, (n_cells, N_EDGES), generator=g).float())[0],
        depth=torch.full((n_cells, 2), 2.5),
    )  # fmt: skip


@pytest.mark.golden
def test_all_outputs_equal_those_of_the_original(folder):
    stored = {key: torch.from_numpy(value) for key, value in np.load(folder / "forward.npz").items() if value.ndim}
    model = ScGPT.read_published(folder).backbone
    silent, keep = stored["padding_mask"], ~stored["padding_mask"]
    with torch.inference_mode():
        h, heard = model.embed_tokens(stored["gene_ids"], stored["values"]), Heard.all_but(silent)
        attention = []
        for layer in model.transformer_encoder.layers:
            attention.append(layer.self_attn.weights(h, ~silent[:, None, None, :]))
            h = layer(h, heard)
        found = {
            "encoder_output": h, "mlm_output": model.predict(h), "mvc_output": model.from_cell(h[:, 0], stored["gene_ids"]),
            "cell_embedding_cls": h[:, 0], "cls_output": model.classify(h[:, 0]),
        }  # fmt: skip
    for name, value in found.items():
        where = keep if value.shape[:2] == keep.shape else slice(None)
        torch.testing.assert_close(value[where], stored[name][where], atol=1e-5, rtol=0, msg=name)
    weights = torch.stack(attention).transpose(2, 3)
    expected = stored["attention_layers"].transpose(2, 3)
    torch.testing.assert_close(weights[:, keep.nonzero()[:, 0], keep.nonzero()[:, 1]],
                               expected[:, keep.nonzero()[:, 0], keep.nonzero()[:, 1]], atol=1e-5, rtol=0)  # fmt: skip


@pytest.mark.golden
def test_the_way_of_a_batch_is_the_way_of_the_original(folder):
    """embed, encode and last_layer, given counts whose bins are the stored values."""
    stored = {key: torch.from_numpy(value) for key, value in np.load(folder / "forward.npz").items() if value.ndim}
    model = ScGPT.read_published(folder).backbone
    genes, values, padding = stored["gene_ids"][:, 1:], stored["values"][:, 1:], stored["padding_mask"][:, 1:]
    assert (stored["gene_ids"][:, 0] == model.cls).all()
    masked = values == -1
    cells = dataclasses.replace(
        batch(), genes=genes, values=values.clamp(min=0), masked=masked, padding=padding, counts=torch.zeros_like(values),
        edges=torch.arange(1.0, 51.0).expand(4, -1).contiguous(),  # with these edges the bin of a count is the count
    )  # fmt: skip
    with torch.inference_mode():
        x = model.last_layer(model.encode(model.embed(cells, padding)))
    keep = ~stored["padding_mask"]
    torch.testing.assert_close(x.h[keep], stored["encoder_output"][keep], atol=1e-5, rtol=0)


@pytest.mark.golden
@pytest.mark.parametrize("name", ["in_proj_", "_impl.Wqkv."])
def test_flash_and_plain_names_give_the_same_weights(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "plain", copy_function=shutil.copyfile)
    state = torch.load(folder / "best_model.pt", weights_only=True)
    assert any("Wqkv." in key for key in state)
    target = tmp_path / "plain" / "best_model.pt"
    target.unlink()
    torch.save({key.replace("Wqkv.", name): value for key, value in state.items()}, target)
    flash, plain = ScGPT.read_published(folder), ScGPT.read_published(tmp_path / "plain")
    assert (flash.report["status"] == "loaded").all()
    assert len(flash.report) == len(state) == len(flash.backbone.state_dict())
    for key, value in flash.backbone.state_dict().items():
        assert torch.equal(value, plain.backbone.state_dict()[key]), key


def write_folder(path: Path, config: ScGPTConfig, names: list[str], *, state: dict | None = None, **args) -> Path:
    """A checkpoint folder in the published layout."""
    path.mkdir()
    model = ScGPT(config)
    content = {
        "embsize": config.dim,
        "nheads": config.heads,
        "d_hid": config.hidden,
        "nlayers": config.layers,
        "n_bins": config.n_bins,
    }
    (path / "args.json").write_text(json.dumps(content | args))
    (path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    torch.save(model.state_dict() if state is None else state, path / "best_model.pt")
    return path


NAMES = ["<cls>", *(f"G{i}" for i in range(8)), "<pad>"]  # the cell's token may stand anywhere
TINY = ScGPTConfig(n_genes=10, dim=8, layers=2, heads=2, hidden=12, cls=0, mvc=True, batch_norm=True)


def test_a_written_folder_is_read_again(tmp_path):
    found = ScGPT.read_published(write_folder(tmp_path / "m", TINY, NAMES))
    assert found.backbone.config == dataclasses.replace(TINY, dropout=0.0)
    assert list(found.vocabulary) == NAMES
    assert found.backbone.own_rows() == [0]
    assert not found.backbone.training


def test_what_does_not_fit_is_named(tmp_path):
    state = ScGPT(TINY).state_dict()
    less = {key: value for key, value in state.items() if not key.endswith("layers.1.norm2.weight")}
    folder = write_folder(tmp_path / "m", TINY, NAMES, state=less | {"extra.weight": torch.zeros(2)})
    with pytest.raises(
        ValueError, match=r"1 missing \[transformer_encoder.layers.1.norm2.weight\]; 1 unexpected \[extra.weight\]"
    ):
        ScGPT.read_published(folder)
    report = ScGPT.read_published(folder, strict=False).report.set_index("status")
    assert report.loc["missing", "wanted"] == "8"
    assert report.loc["unexpected", "key"] == "extra.weight"
    with pytest.raises(ValueError, match=r"shape \[encoder.embedding.weight 10 x 8, not 10 x 16"):
        ScGPT.read_published(write_folder(tmp_path / "wide", TINY, NAMES, embsize=16))
    other = write_folder(tmp_path / "other", TINY, NAMES, state={"model.pos_emb.weight": torch.zeros(10, 8)})
    with pytest.raises(ValueError, match=r"missing \[encoder.embedding.weight.*unexpected \[model.pos_emb.weight\]"):
        ScGPT.read_published(other)


def test_parts_of_its_training_are_left_out(tmp_path):
    state = ScGPT(TINY).state_dict() | {"flag_encoder.weight": torch.zeros(2, 8)}
    found = ScGPT.read_published(write_folder(tmp_path / "m", TINY, NAMES, state=state))
    assert list(found.report.loc[found.report["status"] != "loaded", "key"]) == ["flag_encoder.weight"]


def test_a_wrong_vocabulary_is_refused(tmp_path):
    folder = write_folder(tmp_path / "m", TINY, NAMES[:-1])
    with pytest.raises(ValueError, match="9 tokens and 10 rows"):
        ScGPT.read_published(folder)
    (folder / "vocab.json").write_text(json.dumps({"<cls>": 0, "G0": 2}))
    with pytest.raises(ValueError, match="'G0' as number 2 where 1 is due"):
        ScGPT.read_published(folder)
    (folder / "vocab.json").write_text(json.dumps({"A": 0}))
    with pytest.raises(ValueError, match="no <cls>"):
        ScGPT.read_published(folder)
    (folder / "args.json").write_text("{}")
    with pytest.raises(ValueError, match=r"args.json must hold \[embsize"):
        ScGPT.read_published(folder)
    with pytest.raises(TypeError, match="part"):
        ScGPT.read_published(folder, part="cell")


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_nothing_in_a_file_is_run_and_cut_files_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "m", TINY, NAMES)
    file = folder / "best_model.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"best_model.pt must be a whole torch file.*cut-off"):
        ScGPT.read_published(folder)
    torch.save({"encoder.embedding.weight": Malicious()}, file)
    with pytest.raises(ValueError, match=r"tensors and plain values only.*refused"):
        ScGPT.read_published(folder)
    file.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(ValueError, match="tensors and plain values only"):
        ScGPT.read_published(folder)
    assert not (tmp_path / "ran").exists()
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="must hold a state dict"):
        ScGPT.read_published(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"best_model.pt"):
        ScGPT.read_published(folder)


def test_the_loss_of_mvc_is_the_squared_error_of_masked_bins():
    torch.manual_seed(0)
    model, cells = ScGPT(dataclasses.replace(TINY, n_genes=20, cls=None, batch_norm=False, dropout=0.0)), batch()
    read = model.read(model.last_layer(model.encode(model.embed(cells, cells.padding))), cells)
    with torch.no_grad():
        part, errors = model.mvc_decoder, []
        for c, t in cells.masked.nonzero().tolist():
            token = model.encoder.enc_norm(model.encoder.embedding.weight[cells.genes[c, t]])
            query = part.W.weight @ torch.sigmoid(part.gene2query.weight @ token + part.gene2query.bias)
            errors.append((query @ read.cells[c] - bin_of(cells.counts[c, t].view(1, 1), cells.edges[[c]])[0, 0]) ** 2)
    torch.testing.assert_close(model.extra_loss(read.extra, cells), torch.stack(errors).mean())
    plain = ScGPT(dataclasses.replace(TINY, n_genes=20, cls=None, mvc=False))
    assert plain.extra_loss(plain.read(plain.embed(cells, cells.padding), cells).extra, cells) == 0
    with pytest.raises(ValueError, match="mvc is off"):
        plain.from_cell(read.cells, cells.genes)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), n_bins=st.sampled_from([3, 11, 51]))
@settings(max_examples=40, deadline=None)
def test_bins_are_the_mean_of_scgpts_random_bins(seed, n, n_bins):
    """scGPT: numpy.digitize at the quantiles of the non-zero values; between equal edges a bin at random."""
    rng = np.random.default_rng(seed)
    row = rng.poisson(2, n).astype(np.float32)
    shown = row[row > 0]
    if shown.size == 0:
        return
    edges = np.quantile(shown, np.linspace(0, 1, n_bins - 1)).astype(np.float32)
    most, least = np.digitize(shown, edges), np.digitize(shown, edges, right=True)
    mean = np.where(most > least, (least + 1 + most) / 2, most)
    got = bin_of(torch.from_numpy(row)[None], torch.from_numpy(edges)[None])[0].numpy()
    np.testing.assert_allclose(got[row > 0], mean)
    assert (got[row == 0] == 0).all()
    assert got[row > 0].min() >= 1
    assert got.max() <= n_bins - 1


def test_counts_outside_the_visible_range_get_the_outer_bins_and_bins_lead_back():
    edges = torch.tensor([[2.0, 3.0, 5.0, 8.0]])
    counts = torch.tensor([[0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 100.0]])
    assert bin_of(counts, edges).tolist() == [[0, 1, 1, 2, 3, 4, 4]]
    assert count_of_bin(bin_of(counts, edges), edges).tolist() == [[0, 2, 2, 3, 5, 8, 8]]
    assert count_of_bin(torch.tensor([[0.5, 2.5, 9.0, -1.0]]), edges).tolist() == [[1, 4, 8, 0]]
