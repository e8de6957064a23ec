"""A model as a folder: weights and arrays as safetensors, tables as HDF5 and CSV, the rest as JSON; no pickle."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import anndata
import h5py  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import nn

from .._core.checks import fail, listing
from ..grn.network import Network

SCHEMA = 1
META, WEIGHTS, ARRAYS, NETWORK, HISTORY = (
    "model.json", "weights.safetensors", "arrays.safetensors", "network.h5", "history.csv",
)  # fmt: skip


def write_folder(
    folder: Path,
    *,
    meta: dict[str, Any],
    weights: dict[str, torch.Tensor],
    arrays: dict[str, np.ndarray],
    network: Network,
    history: pd.DataFrame,
    overwrite: bool,
) -> None:
    """Write all files to a folder beside the target, then rename: a killed process leaves no half-written model."""
    if folder.exists() and not overwrite:
        raise fail(
            FileExistsError, f"{folder} must not exist yet.", "a file or folder of that name.",
            "choose another folder or pass overwrite=True.",
        )  # fmt: skip
    if folder.exists() and not (folder / META).exists():
        raise fail(
            FileExistsError, f"only a saved model can be overwritten, {folder} is none.",
            f"{listing(p.name for p in folder.iterdir()) if folder.is_dir() else 'a file'}.", "choose another folder.",
        )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (draft / META).write_text(json.dumps({"schema": SCHEMA, **meta}, indent=1), encoding="utf-8")
        save_tensors({name: value.contiguous().clone() for name, value in weights.items()}, draft / WEIGHTS)
        save_arrays({name: np.ascontiguousarray(value) for name, value in arrays.items()}, draft / ARRAYS)
        with h5py.File(draft / NETWORK, "w") as file:
            anndata.io.write_elem(file, "network", network.to_uns())
        history.to_csv(draft / HISTORY, index=False)
        if folder.exists():
            shutil.rmtree(folder)
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_meta(folder: Path) -> dict[str, Any]:
    """Read the JSON part and check its schema number."""
    path = folder / META
    if not path.is_file():
        found = listing(p.name for p in folder.iterdir()) if folder.is_dir() else "no such folder"
        raise fail(
            FileNotFoundError, f"{folder} must hold {META}.", f"{found}.", "name a folder written by model.save."
        )
    meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if meta.get("schema") != SCHEMA:
        raise fail(
            ValueError, f"this version reads models of schema {SCHEMA}.", f"schema {meta.get('schema')!r}.",
            "load it with the version of grnformer-sc that wrote it (see 'versions' in model.json).",
        )  # fmt: skip
    return meta


def read_network_file(folder: Path) -> Network:
    """Read the network."""
    with h5py.File(folder / NETWORK, "r") as file:
        return Network.from_uns(anndata.io.read_elem(file["network"]))


def load_weights(net: nn.Module, folder: Path) -> None:
    """Put the stored weights into a network; single numbers were stored without an axis before FSDP asked for one."""
    own = net.state_dict()
    weights = {
        name: value.reshape(own[name].shape) if value.ndim == 0 and name in own else value
        for name, value in read_weights(folder).items()
    }
    net.load_state_dict(weights)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read the weights on the CPU."""
    return load_tensors(folder / WEIGHTS)


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Read the arrays that were made from training cells."""
    return load_arrays(folder / ARRAYS)


def read_history(folder: Path) -> pd.DataFrame:
    """Read the training history."""
    frame = pd.read_csv(folder / HISTORY)
    frame.index = frame.index.astype(str)
    return frame


def registry_to_json(registry: dict[str, Any]) -> dict[str, Any]:
    """scvi-tools' registry in JSON types (arrays become lists)."""
    text = json.dumps(registry, default=lambda value: {"array": np.asarray(value).tolist()})
    out: dict[str, Any] = json.loads(text)
    return out


def registry_from_json(value: Any) -> Any:
    """Inverse of `registry_to_json`."""
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return np.asarray(value["array"], dtype=object)
        return {key: registry_from_json(part) for key, part in value.items()}
    return value
