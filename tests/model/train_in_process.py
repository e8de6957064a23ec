"""Train a small model in a process of its own: `python train_in_process.py out.npz '{"model": {}, "train": {}}'`."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np

import grnformer_sc as grs
from grnformer_sc.model import ModelConfig

if __name__ == "__main__":
    out, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    small = runpy.run_path(str(Path(__file__).with_name("small.py")))
    config = ModelConfig(**small["SMALL"].to_dict() | options["model"])
    with grs.settings.override(progress=False):
        fitted = small["trained"](config=config, **{"batch_size": 20} | options["train"])
    arrays = {name: value.cpu().numpy() for name, value in fitted.module.state_dict().items()}
    rank = os.environ.get("LOCAL_RANK", "0")
    np.savez(out.with_stem(f"{out.stem}{rank}"), history=fitted.history.to_numpy(float), **arrays)
