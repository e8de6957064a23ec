"""The file of scPRINT: a checkpoint of Lightning, with its genes and settings beside the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ..._core.checks import fail, listing
from ..backbones.published import need_state, read_tensors
from .scprint import NORMALISATIONS, ScPRINTConfig

SIZES = {"d_model": "dim", "nlayers": "layers", "nhead": "heads"}
# what this encoder computes of the choices that the program has; a file that does not say is taken to be so
COMPUTED: Mapping[str, tuple[Any, ...]] = {
    "normalization": NORMALISATIONS, "expr_emb_style": ("continuous",), "transformer": ("normal", "flash"),
    "expr_encoder_layers": (2,), "cell_specific_blocks": (False,), "use_metacell_token": (False,), "prenorm": (True,),
    "attn_bias": (None, "none", False),
}  # fmt: skip
GENE_TABLE = re.compile(r"^gene_encoder\.(0\.)?embeddings?\.weight$")
CLASS_TABLE = re.compile(r"^class_encoder\.(0\.)?embeddings?\.weight$")
HIDDEN = "transformer.blocks.0.mlp.fc1.weight"
PLACES = "pos_encoder.pe"


def checkpoint_at(path: Path) -> Path:
    """The checkpoint: a file, or the only one of a folder."""
    found = sorted(path.glob("*.ckpt")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].is_file():
        raise fail(
            FileNotFoundError, "an scPRINT is one file .ckpt, or a folder with one of them.",
            f"{listing(p.name for p in found) if path.is_dir() else 'no file'} at {path}.",
            "name the file.",
        )  # fmt: skip
    return found[0]


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors; what a checkpoint holds besides (optimiser, loops, callbacks) is not looked at."""
    content = read_tensors(file)
    parts = ("hyper_parameters", "state_dict")
    if not isinstance(content, Mapping) or not all(isinstance(content.get(part), Mapping) for part in parts):
        found = listing(content) if isinstance(content, Mapping) else type(content).__name__
        raise fail(
            ValueError, f"{file.name} must hold {listing(parts)}, as a checkpoint of Lightning does.", f"{found}.",
            "give the .ckpt as it was published.",
        )  # fmt: skip
    state = need_state(content["state_dict"], file)
    if PLACES in state and state[PLACES].ndim == 3 and state[PLACES].shape[1] == 1:
        state[PLACES] = state[PLACES][:, 0]
    return dict(content["hyper_parameters"]), state


def config_of(settings: Mapping[str, Any], state: Mapping[str, Tensor], file: Path, *, n_context: int) -> ScPRINTConfig:
    """Sizes from the settings and the tables; what this encoder does not compute is an error that names it."""
    tables = {name: _rows(state, pattern) for name, pattern in (("gene", GENE_TABLE), ("class", CLASS_TABLE))}
    missing = [name for name in (*SIZES, "normalization") if name not in settings]
    missing += [f"{name}_encoder.embedding.weight" for name, rows in tables.items() if not rows]
    other = [
        f"{name} {settings[name]!r}" for name, known in COMPUTED.items() if settings.get(name, known[0]) not in known
    ]
    if settings.get("gene_pos_enc") and PLACES not in state:
        other.append(f"gene_pos_enc without {PLACES}")
    other += [f"{name} {settings[name]!r}" for name in SIZES if name in settings and not _positive(settings[name])]
    if missing or other:
        choices = "; ".join(f"{name} {' or '.join(map(repr, known))}" for name, known in COMPUTED.items())
        raise fail(
            ValueError,
            f"{file.name} must describe an scPRINT with whole sizes {listing(SIZES)}, tables of genes and classes, and "
            f"{choices}.",
            f"no {listing(missing)}." if missing else f"{other[0]}.",
            "give a checkpoint of this architecture, as it was published.",
        )  # fmt: skip
    has_depth = any(name.startswith("depth_encoder.") for name in state)
    hidden = state.get(HIDDEN)
    return ScPRINTConfig(
        **{ours: settings[theirs] for theirs, ours in SIZES.items()},
        n_genes=tables["gene"], n_classes=tables["class"], n_context=n_context,
        hidden=None if hidden is None else hidden.shape[0], normalisation=settings["normalization"],
        depth=bool(settings.get("depth_atinput", has_depth)), positions=PLACES in state,
    )  # fmt: skip


def _rows(state: Mapping[str, Tensor], pattern: re.Pattern[str]) -> int:
    return next((value.shape[0] for name, value in state.items() if pattern.match(name) and value.ndim == 2), 0)


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


def genes_of(settings: Mapping[str, Any], given: Sequence[str] | None, file: Path, *, n_genes: int) -> pd.Index:
    """Names of the rows of the gene table, each once."""
    found = settings.get("genes") if given is None else list(given)
    wrong = _difference(found, n_genes)
    if wrong:
        raise fail(
            ValueError, f"{file.name} must name each of its {n_genes} genes once, in their order, in a list.", f"{wrong}.",
            "pass genes=<list of their names> that belongs to these weights.",
        )  # fmt: skip
    return pd.Index(found, dtype=object)


def _difference(found: Any, n_genes: int) -> str:
    """First thing that is wrong with the names of genes."""
    if not isinstance(found, list):
        return "no genes" if found is None else f"genes as {type(found).__name__}"
    other = [name for name in found if not isinstance(name, str)]
    if other:
        return f"{other[0]!r} among them"
    twice = pd.Index(found, dtype=object).duplicated()
    if twice.any():
        return f"{found[int(twice.argmax())]} twice"
    return "" if len(found) == n_genes else f"{len(found)} genes, the first {found[0] if found else None}"
