"""Train a small model in a process of its own: `python train_in_process.py out.npz '{"model": {}, "train": {}}'`."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np

import grnformer_sc as grs
from grnformer_sc.model import GRNFormer, ModelConfig

SMALL = {"dim": 16, "heads": 2, "layers": 1, "max_queries": 20, "mask_ratio": 0.3}


def train(model: dict, train: dict) -> GRNFormer:
    adata = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]()
    GRNFormer.setup_anndata(adata)
    fitted = GRNFormer(adata, ModelConfig(**SMALL | model))
    fitted.train(**{"max_epochs": 2, "batch_size": 20, "accelerator": "cpu", "devices": 1} | train)
    return fitted


if __name__ == "__main__":
    out, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    with grs.settings.override(progress=False):
        fitted = train(options.get("model", {}), options.get("train", {}))
    arrays = {name: value.numpy() for name, value in fitted.module.state_dict().items()}
    rank = os.environ.get("LOCAL_RANK", "0")
    np.savez(out.with_stem(f"{out.stem}{rank}"), history=fitted.history.to_numpy(float), **arrays)
