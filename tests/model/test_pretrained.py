"""Published weights in a model of one's own genes: rows by name, sizes of the file, errors that say what is wrong."""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import grnformer_sc as grs
from grnformer_sc.model import GRNFormer, ModelConfig, load_backbone
from grnformer_sc.model.pretrained import adopt, start_from
from grnformer_sc.nn.backbones import Published, ScFoundation, ScFoundationConfig, ScGPT, ScGPTConfig

HERE = Path(__file__).parents[1]
toy_rna = runpy.run_path(str(HERE / "data" / "toy.py"))["toy_rna"]
write_folder = runpy.run_path(str(HERE / "nn" / "test_scgpt.py"))["write_folder"]
foundations = runpy.run_path(str(HERE / "nn" / "foundations.py"))
scfoundation = runpy.run_path(str(HERE / "nn" / "test_scfoundation.py"))
SIZES = {"dim": 8, "layers": 3, "heads": 2, "hidden": 12}


def scgpt_folder(path: Path, genes: list[str], **config) -> Path:
    """Genes in another order than the data's, the cell's token in their middle."""
    names = [*genes[::-1][:10], "<cls>", *genes[::-1][10:], "<pad>"]
    torch.manual_seed(3)
    return write_folder(path, ScGPTConfig(n_genes=len(names), cls=10, **SIZES | config), names)


def start(adata, checkpoint, config=None, **options) -> GRNFormer:
    GRNFormer.setup_anndata(adata)
    return GRNFormer(adata, config, checkpoint=checkpoint, **options)


def first_net(model, **options):
    """The network before its first step."""
    model.train(max_epochs=1, batch_size=200, lr=1e-12, weight_decay=0.0, accelerator="cpu", devices=1, **options)
    return model.module


def test_rows_go_to_genes_by_name_and_sizes_come_from_the_file(tmp_path):
    adata = toy_rna()
    folder = scgpt_folder(tmp_path / "m", list(adata.var_names))
    published = load_backbone(folder)
    model = start(adata, folder, ModelConfig(dim=64, heads=4))
    assert (model.config.dim, model.config.layers, model.config.heads) == (8, 2, 2)
    assert model.config.backbone_settings["hidden"] == 12
    net = first_net(model)
    own, file = net.backbone.state_dict(), published.backbone.state_dict()
    rows = published.vocabulary.get_indexer([*adata.var_names, "<cls>"])
    torch.testing.assert_close(
        own["encoder.embedding.weight"], file["encoder.embedding.weight"][rows], atol=1e-5, rtol=0
    )
    same = [name for name in own if name != "encoder.embedding.weight"]
    assert len(same) > 20
    for name in same:
        torch.testing.assert_close(own[name], file[name], atol=1e-5, rtol=0)
    assert not any(".layers.2." in name for name in own)  # the adapter is in its place


@pytest.mark.parametrize("backbone", ["scgpt", "scfoundation"])
def test_the_order_of_the_vocabulary_plays_no_role(backbone, tmp_path):
    """The same cells through the whole published model and through the one made for the genes of the data."""
    adata = toy_rna()
    genes = list(adata.var_names)
    if backbone == "scgpt":
        published = load_backbone(scgpt_folder(tmp_path / "m", genes))
    else:
        torch.manual_seed(1)
        config = ScFoundationConfig(n_genes=60, dim=8, layers=3, heads=2, decoder_dim=12)
        published = Published("scfoundation", ScFoundation(config).eval(), pd.Index(genes[::-1]), pd.DataFrame())
    config = ModelConfig(backbone=backbone, use_grn=False, loss="mse", mask_ratio=0.3, max_queries=20)
    model = start(adata, published, config)
    net = first_net(model).eval()
    collator, _ = model._collator(None, None)
    mine = collator(np.arange(30), np.random.default_rng(0))
    rows = torch.from_numpy(published.vocabulary.get_indexer(genes))
    theirs = {"genes": rows[mine.genes]}
    if backbone == "scfoundation":
        theirs |= {name: torch.zeros_like(getattr(mine, name)).scatter(1, rows.expand(30, -1), getattr(mine, name)) for name in ("shown", "visible")}  # fmt: skip
    with torch.inference_mode():
        reads = []
        for part, batch in ((net.backbone, mine), (published.backbone, dataclasses.replace(mine, **theirs))):
            reads.append(part.read(part.last_layer(part.encode(part.embed(batch, batch.padding))), batch))
            reads[-1] = (reads[-1].cells, part.predict(reads[-1].tokens).masked_fill(batch.padding, 0))
    torch.testing.assert_close(reads[0], reads[1], atol=2e-4, rtol=1e-4)


def test_genes_without_a_row_start_from_the_mean_and_are_counted(tmp_path, caplog):
    adata = toy_rna()
    published = load_backbone(scgpt_folder(tmp_path / "m", list(adata.var_names[:45])))
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        weights = adopt(published, adata.var_names)
    assert "45 of 60 genes found (45 exact, 15 unmatched)" in caplog.text
    assert weights.n_lost == 15
    table = weights.state["encoder.embedding.weight"]
    assert table.shape == (61, 8)
    torch.testing.assert_close(table[50], table[:45].mean(dim=0))
    assert torch.equal(table[60], published.backbone.encoder.embedding.weight[10])
    with pytest.raises(ValueError, match=r"at least 90% of the genes.*45 of 60.*harmonize_genes"):
        adopt(published, adata.var_names, min_matched=0.9)
    other = pd.Index([f"ENSG{i:011d}" for i in range(60)])
    with pytest.raises(ValueError, match=r"0 of 60 \(60 unmatched\); not found \[ENSG00000000000"):
        adopt(published, other, min_matched=0.0)


def test_two_genes_never_share_a_row(tmp_path):
    published = load_backbone(scgpt_folder(tmp_path / "m", [f"GENE{i}" for i in range(20)]))
    weights = adopt(published, pd.Index([*(f"GENE{i}" for i in range(20)), "gene3"]))
    assert list(weights.matches["way"][-1:]) == ["ambiguous"]


def test_a_published_start_is_trained_saved_and_read(tmp_path):
    adata = toy_rna()
    folder = scgpt_folder(tmp_path / "m", list(adata.var_names[:50]), mvc=True)
    model = grs.tl.fit(
        adata, checkpoint=folder, loss="mse", max_epochs=2, accelerator="cpu", devices=1,
        model_settings={"mask_ratio": 0.3, "backbone_settings": {"mvc": True}},
    )  # fmt: skip
    assert adata.obsm["X_grnformer"].shape == (120, 8)
    assert adata.uns["grnformer"]["params"]["dropped"]["genes without published weights"] == 10
    model.save(tmp_path / "saved")
    loaded = GRNFormer.load(tmp_path / "saved", adata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


def test_scfoundation_starts_from_its_file(tmp_path):
    adata = toy_rna(n_genes=45 + 5)
    adata = adata[:, :15].copy()
    folder = scfoundation["write_file"](tmp_path / "m")
    published = load_backbone(folder, part="gene", vocabulary=list(adata.var_names[::-1]))
    config = ModelConfig(backbone="scfoundation", loss="mse", mask_ratio=0.3)
    model = start(adata, published, config)
    assert model.config.backbone_settings["decoder_dim"] == 12
    own = first_net(model).backbone.state_dict()
    file = scfoundation["published_state"](seed=1)
    torch.testing.assert_close(own["pos_emb.weight"][:15].flip(0), file["model.pos_emb.weight"][:15], atol=1e-5, rtol=0)
    torch.testing.assert_close(own["pos_emb.weight"][15:], file["model.pos_emb.weight"][15:], atol=1e-5, rtol=0)
    torch.testing.assert_close(own["to_final.weight"], file["model.to_final.weight"], atol=1e-5, rtol=0)
    assert np.isfinite(model.get_latent_representation()).all()


def test_what_cannot_fit_is_refused(tmp_path):
    adata = toy_rna()
    folder = scgpt_folder(tmp_path / "m", list(adata.var_names))
    GRNFormer.setup_anndata(adata)
    with pytest.raises(ValueError, match=r"one of the backbone 'scfoundation'.*'scgpt'"):
        GRNFormer(adata, ModelConfig(backbone="scfoundation"), checkpoint=load_backbone(folder))
    with pytest.raises(ValueError, match=r"pass backbone='scgpt'"):
        grs.tl.fit(adata, backbone="scfoundation", checkpoint=folder)
    with pytest.raises(ValueError, match=r"fixes the sizes.*\[dim\]"):
        grs.tl.fit(adata, checkpoint=folder, model_settings={"dim": 8})
    model = GRNFormer(adata, ModelConfig(backbone_settings={"hidden": 30}), checkpoint=folder)
    with pytest.raises(ValueError, match=r"backbone_settings must agree.*linear1.weight \(12, 8\), not \(30, 8\)"):
        model.train(max_epochs=1, accelerator="cpu", devices=1)
    (tmp_path / "other.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"scgpt \[args.json, vocab.json, best_model.pt\].*\[other.txt\]"):
        load_backbone(tmp_path / "other.txt")


@pytest.mark.golden
def test_the_kind_of_a_checkpoint_is_found_by_its_files(golden_dir):
    found = load_backbone(golden_dir / "scgpt")
    assert isinstance(found.backbone, ScGPT)
    assert found.name == "scgpt"
    assert (found.report["status"] == "loaded").all()


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["scgpt_whole_human_vocab", "scgpt_census_vocab", "scfoundation_gene_index_19264"])
def test_real_vocabularies_hold_human_genes_and_refuse_mouse_ones(data_dir, name):
    path = next((data_dir / "gene_vocab").glob(f"{name}.*"))
    text = gzip.decompress(path.read_bytes()).decode()
    names = list(json.loads(text)) if ".json" in path.name else [line.split("\t")[0] for line in text.splitlines()[1:]]
    model = ScGPT(ScGPTConfig(n_genes=len(names), dim=4, heads=1, layers=1, cls=0))
    published = Published("scgpt", model, pd.Index(names), pd.DataFrame())
    human = pd.read_csv(data_dir / "regulatory_resources" / "raw" / "hg38_genes.bed", sep="\t", header=None)[3]
    weights = adopt(published, pd.Index(human.unique()[:3000]))
    assert weights.n_lost < 1500
    mouse = pd.Index((data_dir / "snare_mouse_cortex" / "raw" / "genes.txt").read_text().split())
    with pytest.raises(ValueError, match="look like mouse"):
        adopt(published, mouse)


def folder_of(name: str, path: Path) -> Path:
    """Published files with random weights and the genes G0 to G24."""
    if name == "scgenept":
        return foundations["write_scgenept"](path)
    return foundations["write_scprint"](path)


@pytest.mark.parametrize("name", ["scgenept", "scprint"])
def test_foundation_models_start_from_their_files(name, tmp_path, caplog):
    adata = toy_rna()
    adata.var_names = [*adata.var_names[:5], *(f"G{i}" for i in range(25)), *adata.var_names[30:]]
    adata = adata[:, :35].copy()
    path = folder_of(name, tmp_path / "m")
    published = load_backbone(path)
    assert published.name == name
    assert set(published.report["status"]) == {"loaded", "unused"}
    settings = {"mask_ratio": 0.3}
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        model = grs.tl.fit(
            adata, backbone=name, use_grn=False, checkpoint=path, max_epochs=1, accelerator="cpu", devices=1,
            model_settings=settings, train_settings={"lr": 1e-12, "weight_decay": 0.0},
        )  # fmt: skip
    assert f"vocabulary of {name}: 25 of 35 genes found" in caplog.text
    assert adata.uns["grnformer"]["params"]["dropped"]["genes without published weights"] == 10
    assert (model.config.dim, model.config.layers) == (8, 2)
    own, file = model.module.backbone, published.backbone
    torch.testing.assert_close(own.gene_embedding()[5:30], file.gene_embedding()[:25], atol=1e-5, rtol=0)
    model.save(tmp_path / "saved")
    loaded = GRNFormer.load(tmp_path / "saved", adata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


@pytest.mark.golden
def test_geneformer_and_scprint_are_known_by_their_files_and_by_other_names(golden_dir):
    found = load_backbone(golden_dir / "geneformer" / "model")
    assert found.name == "geneformer"
    symbols = pd.Index(list(found.other_names)[:200])
    assert adopt(found, symbols, min_matched=0.1).n_lost < symbols.size
    assert load_backbone(golden_dir / "scprint").name == "scprint"
    with pytest.raises(ValueError, match=r"one of the backbone 'scgpt'.*'geneformer'"):
        start_from(
            grs.model.load_foundation(golden_dir / "geneformer" / "model"), ModelConfig(), symbols, min_matched=0
        )
