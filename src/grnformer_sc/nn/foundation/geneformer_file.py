"""The files of Geneformer: a folder of Hugging Face, and dictionaries of tokens, medians and names."""

from __future__ import annotations

import gzip
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from torch import Tensor

from ..._core.checks import fail, listing
from ..._core.files import read_text
from ..._core.pickles import need_plain, read_plain_pickle
from ..backbones.published import need_state, read_tensors
from .geneformer import GeneformerConfig

logger = logging.getLogger(__name__)

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# file names of the three dictionaries, with what they are called in an error
PATTERNS = {"tokens": "token_dictionary*", "medians": "gene_median_dictionary*", "names": "gene_name_id_dict*"}
PAD, MASK, CLS, EOS = "<pad>", "<mask>", "<cls>", "<eos>"
SPECIAL = (PAD, MASK, CLS, EOS)


@dataclass(frozen=True, slots=True)
class RankVocabulary:
    """Tokens of genes, in ascending order of the token.

    Attributes
    ----------
    genes
        Ensembl ids.
    token
        Token of every gene.
    median
        Usual expression of every gene: the median of its values above 0 in the cells of the pre-training.
    special
        Tokens that stand for no gene, by name (`"<pad>"` at least).
    names
        Ensembl ids by other names.
    """

    genes: pd.Index
    token: Int64[np.ndarray, " genes"]
    median: Float64[np.ndarray, " genes"]
    special: Mapping[str, int]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def framed(self) -> bool:
        """Whether sequences begin with <cls> and end with <eos>."""
        return CLS in self.special and EOS in self.special

    @property
    def n_tokens(self) -> int:
        """All tokens."""
        return self.genes.size + len(self.special)


def read_weights(folder: Path, *, title: str = "Geneformer") -> tuple[GeneformerConfig, dict[str, Tensor], list[Path]]:
    """Sizes and tensors of a folder, and the files they are from."""
    config = folder / "config.json"
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        raise fail(
            FileNotFoundError, f"a {title} is a folder with config.json and one of {listing(WEIGHTS)}.",
            f"{listing(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else 'no folder'} at {folder}.",
            "give the folder of one model, as published or as save_pretrained wrote it.",
        )  # fmt: skip
    sizes = GeneformerConfig.from_file(_json(config), config)
    return sizes, need_state(read_tensors(weights), weights), [config, weights]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, OSError, EOFError) as error:
        raise fail(
            ValueError, f"{path.name} must be a JSON file.", f"{error}.", "download it again, or check the path."
        ) from error
    if not isinstance(content, dict):
        raise fail(ValueError, f"{path.name} must hold an object.", f"{type(content).__name__}.", "check the file.")
    return content


def find_dictionaries(folder: Path, given: Mapping[str, str | Path | None]) -> dict[str, Path]:
    """Files of the dictionaries: those given, or the only one of its name in the folder or in the one above it."""
    out = {kind: Path(path) for kind, path in given.items() if path is not None}
    table = "tokens" in out and _is_table(out["tokens"])
    for kind, pattern in PATTERNS.items():
        if kind in out or (table and kind != "tokens"):
            continue
        found = next((hit for at in (folder, folder.parent) if (hit := sorted(at.glob(pattern)))), [])
        if len(found) == 1:
            out[kind] = found[0]
        elif kind != "names":
            raise fail(
                FileNotFoundError, f"a Geneformer needs its dictionary of {kind} ({pattern}.pkl, .json or .csv).",
                f"{listing(p.name for p in found)} in {folder} and above it.", f"pass {kind}=<file>.",
            )  # fmt: skip
    for kind, path in out.items():
        if not path.is_file():
            raise fail(FileNotFoundError, f"the dictionary of {kind} must exist.", f"{path}.", "check the path.")
    return out


def read_vocabulary(files: Mapping[str, Path]) -> RankVocabulary:
    """Read the dictionaries; a table with columns token, median and symbol may stand for all of them."""
    table = files["tokens"] if _is_table(files["tokens"]) else None
    read = {kind: read_dictionary(path, kind) for kind, path in files.items()}
    if table is not None:
        read |= {kind: read_dictionary(table, kind) for kind in PATTERNS if kind not in read}
    return vocabulary_of(read["tokens"], read["medians"], read.get("names", {}), source=files["tokens"].name)


def vocabulary_of(
    tokens: Mapping[str, Any], medians: Mapping[str, Any], names: Mapping[str, Any], *, source: str = "tokens"
) -> RankVocabulary:
    """Check that the dictionaries fit each other, and name the first entry that does not."""
    order, wrong = in_order(tokens)
    wrong = wrong or ("" if PAD in tokens else f"no {PAD!r}")
    genes = [name for name in order if name not in SPECIAL]
    wrong = wrong or next((f"no median of {gene!r}" for gene in genes if gene not in medians), "")
    wrong = wrong or next((f"median {medians[g]!r} of {g!r}" for g in genes if not above_0(medians[g])), "")
    if wrong or not genes:
        raise fail(
            ValueError,
            f"{source} must number its tokens 0, 1, 2, ..., hold {PAD!r}, and have a median above 0 for every gene.",
            f"{wrong or 'no gene'}.", "give the dictionaries of tokens and medians that were published together.",
        )  # fmt: skip
    return RankVocabulary(
        pd.Index(genes, dtype=object),
        np.array([tokens[gene] for gene in genes], dtype=np.int64),
        np.array([medians[gene] for gene in genes], dtype=np.float64),
        {name: int(tokens[name]) for name in SPECIAL if name in tokens},
        {str(name): str(gene) for name, gene in names.items()},
    )


def in_order(tokens: Mapping[str, Any]) -> tuple[list[str], str]:
    """Names by the number of their token, and the first one that is not 0, 1, 2, ..."""
    order = sorted(tokens, key=lambda name: (not isinstance(tokens[name], int), tokens[name]))
    wrong = (f"{n!r} as {tokens[n]!r} where {i} is due" for i, n in enumerate(order) if tokens[n] != i)
    return order, next(wrong, "")


def above_0(value: Any) -> bool:
    """Whether it is a finite number above 0."""
    return isinstance(value, (int, float)) and 0 < value < np.inf


def _is_table(path: Path) -> bool:
    return ".csv" in path.suffixes


def read_dictionary(path: Path, kind: str) -> dict[str, Any]:
    """Read one dictionary (`"tokens"`, `"medians"` or `"names"`) from a pickle, JSON or a table."""
    if _is_table(path):
        return _column(path, kind)
    if ".json" in path.suffixes:
        return need_plain(_json(path), path)
    return read_plain_pickle(path)


def _column(path: Path, kind: str) -> dict[str, Any]:
    """Column of a table the first column of which holds Ensembl ids."""
    raw = path.read_bytes()
    table = pd.read_csv(
        io.BytesIO(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw), float_precision="round_trip"
    )
    column = {"tokens": "token", "medians": "median", "names": "symbol"}[kind]
    if column not in table:
        if kind == "names":
            return {}
        raise fail(
            KeyError, f"{path.name} needs a column {column!r} after that of the Ensembl ids.", f"{listing(table.columns)}.",
            f"rename the column, or pass {kind}=<file>.",
        )  # fmt: skip
    table = table[table[column].notna()]
    key, value = table.iloc[:, 0].astype(str).tolist(), table[column].tolist()
    if kind == "names":  # of several genes with one symbol the first (not the copy on Y) is meant
        return dict(zip(reversed(value), reversed(key), strict=True))
    return dict(zip(key, value, strict=True))
