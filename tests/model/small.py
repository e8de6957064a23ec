"""A small model of toy cells, trained in a second; read by `runpy`."""

from __future__ import annotations

import runpy
from pathlib import Path

from grnformer_sc.model import GRNFormer, ModelConfig

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]
SMALL = ModelConfig(dim=16, heads=2, layers=1, structure_layers=1, mask_ratio=0.3, max_queries=20)


def trained(adata=None, config=SMALL, **options):
    adata = toy_rna() if adata is None else adata
    GRNFormer.setup_anndata(adata)
    model = GRNFormer(adata, config)
    model.train(**{"max_epochs": 2, "batch_size": 32, "accelerator": "cpu", "devices": 1, **options})
    return model


def weights(model, part=""):
    return {name: value.numpy().tobytes() for name, value in model.module.state_dict().items() if part in name}
