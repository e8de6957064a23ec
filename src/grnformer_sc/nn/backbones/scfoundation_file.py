"""The published file of scFoundation: several models in one checkpoint, its names of parameters, its list of genes."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ..._core.checks import fail, listing
from .published import need_state

N_DEPTH = 2  # tokens T (depth to predict) and S (depth of what is visible)
OPTIONS = ("part", "vocabulary")
_LAYER = r"^decoder\.performer\.net\.layers\.(\d+)"
RENAMED = (
    (r"^model\.", ""),
    (r"^encoder\.transformer_encoder\.", "encoder.layers."),
    (_LAYER + r"\.0\.norm\.", r"decoder.layers.\1.norm1."),
    (_LAYER + r"\.0\.fn\.fast_attention\.projection_matrix$", r"decoder.layers.\1.attention.projection"),
    (_LAYER + r"\.0\.fn\.", r"decoder.layers.\1.attention."),
    (_LAYER + r"\.1\.norm\.", r"decoder.layers.\1.norm2."),
    (_LAYER + r"\.1\.fn\.fn\.", r"decoder.layers.\1."),
)
UNUSED = ("decoder.performer.calls_since_last_redraw",)  # a counter of its training


def open_part(content: Any, part: str, file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Find the sizes and the state dict of one model in the file."""
    parts = content if isinstance(content, Mapping) else {}
    if part not in parts or not {"config", "state_dict"} <= set(
        parts[part] if isinstance(parts[part], Mapping) else ()
    ):
        raise fail(
            ValueError, f"{file.name} must hold {part!r} with 'config' and 'state_dict'.",
            f"{listing(parts) if parts else type(content).__name__}.",
            "name another part= or give the models.ckpt of scFoundation.",
        )  # fmt: skip
    config = parts[part]["config"]
    kind = config.get("model", "?")
    sizes = config.get("model_config", {}).get(kind)
    if kind != "mae_autobin" or sizes is None:
        raise fail(
            ValueError,
            "the model in the file must be 'mae_autobin'.",
            f"{kind!r}.",
            "give the models.ckpt of scFoundation.",
        )
    return dict(sizes), need_state(parts[part]["state_dict"], file)


def sizes_of(sizes: Mapping[str, Any], vocabulary: pd.Index, file: Path) -> dict[str, Any]:
    """Settings of the model in the file."""
    encoder, decoder = sizes["encoder"], sizes["decoder"]
    kinds = encoder.get("module_type"), decoder.get("module_type")
    if kinds != ("transformer", "performer"):
        raise fail(
            ValueError, "encoder and decoder must be 'transformer' and 'performer'.", f"{kinds}.",
            "give the models.ckpt of scFoundation.",
        )  # fmt: skip
    if sizes["seq_len"] != vocabulary.size + N_DEPTH:
        raise fail(
            ValueError, f"{file.name} needs a vocabulary of {sizes['seq_len'] - N_DEPTH} genes.", f"{vocabulary.size}.",
            "give the gene list that was published with the weights as vocabulary=.",
        )  # fmt: skip
    return {
        "n_genes": vocabulary.size,
        "dim": encoder["hidden_dim"],
        "layers": encoder["depth"],
        "heads": encoder["heads"],
        "decoder_dim": decoder["hidden_dim"],
        "decoder_layers": decoder["depth"],
        "decoder_heads": decoder["heads"],
        "decoder_dim_head": decoder["dim_head"],
        "n_codes": sizes["bin_num"],
        "alpha": float(sizes["bin_alpha"]),
    }


def read_vocabulary(genes: Any, file: Path) -> pd.Index:
    """Read the genes in the order of the weights: names, a file, or the only .tsv beside the checkpoint."""
    if genes is None:
        found = sorted(file.parent.glob("*.tsv*"))
        if len(found) != 1:
            raise fail(
                FileNotFoundError, "scFoundation's weights need their list of genes (OS_scRNA_gene_index.19264.tsv).",
                f"{listing(p.name for p in found)} beside {file.name}.", "pass vocabulary=<file or names>.",
            )  # fmt: skip
        genes = found[0]
    if not isinstance(genes, (str, Path)):
        return pd.Index([str(name) for name in genes] if isinstance(genes, Iterable) else [], dtype=object)
    raw = Path(genes).read_bytes()
    lines = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode().splitlines()
    rows = [line.split("\t") for line in lines if line.strip()]
    if not rows or rows[0][0] != "gene_name" or any(int(row[1]) != i for i, row in enumerate(rows[1:])):
        raise fail(
            ValueError, f"{Path(genes).name} must have the columns gene_name and index, in the order of the index.",
            f"{rows[0] if rows else 'an empty file'}.", "give the list that was published with the weights.",
        )  # fmt: skip
    return pd.Index([row[0] for row in rows[1:]], dtype=object)
