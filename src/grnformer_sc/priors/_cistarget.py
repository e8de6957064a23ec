"""cisTarget databases (feather) and motif-to-TF tables, of which only what is needed is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_unique
from .._core.optional import need

BLOCK_BYTES = 64 * 2**20  # of a database read at one time
MOTIF_COLUMNS = ("motifs", "features", "tracks")  # names of motifs: the other columns are regions
REGION_COLUMNS = ("regions",)  # names of regions: the other columns are motifs
TABLE_COLUMNS = ["gene_name", "motif_similarity_qvalue", "orthologous_identity", "description"]
FEATHER_V1 = b"FEA1"
Block = tuple[slice, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class MotifDatabase:
    """An open rankings or scores database: names are in memory, values stay on disk.

    Attributes
    ----------
    path
        Feather file (Arrow IPC) with one column per region and a column `motifs` (`features` and `tracks` in some files),
        or one column per motif and a column `regions`.
    motifs, regions
        Names in the order of the file.
    by_region
        Whether columns are regions.
    place
        Number of the column of every region (or motif).
    """

    path: Path
    motifs: pd.Index
    regions: pd.Index
    by_region: bool
    place: np.ndarray

    def blocks(self, regions: np.ndarray) -> Iterator[Block]:
        """Values of some regions, block by block.

        Yields a range of motifs, positions in `regions`, and the values (motifs x regions). Only the columns of a block are
        read and decompressed; the rest of the file is never touched.
        """
        arrow = need("pyarrow", extra="cistarget")
        n_rows, n_columns = (
            (len(self.motifs), regions.size) if self.by_region else (len(self.regions), len(self.motifs))
        )
        step = max(1, BLOCK_BYTES // (4 * max(n_rows, 1)))
        for first in range(0, n_columns, step):
            last = min(first + step, n_columns)
            columns = self.place[regions[first:last]] if self.by_region else self.place[first:last]
            order = np.argsort(columns)  # a batch holds its columns in the order of the file
            back = np.empty(order.size, np.int64)
            back[order] = np.arange(order.size)
            top = 0
            for batch in _batches(arrow, self.path, columns[order].tolist()):
                values = np.stack([batch.column(i).to_numpy(zero_copy_only=False) for i in back.tolist()])
                if self.by_region:
                    yield slice(top, top + batch.num_rows), np.arange(first, last), values.T
                else:
                    inside = np.flatnonzero((regions >= top) & (regions < top + batch.num_rows))
                    yield slice(first, last), inside, values[:, regions[inside] - top]
                top += batch.num_rows


def open_database(path: str | Path, *, ranks: bool) -> MotifDatabase:
    """Read the names in a database of ranks (whole numbers) or scores; what is damaged or another file is an error."""
    arrow = need("pyarrow", extra="cistarget")
    path = Path(path)
    schema = _schema(arrow, path)
    names = list(schema.names)
    motif_column, region_column = (
        next((name for name in known if name in names), None) for known in (MOTIF_COLUMNS, REGION_COLUMNS)
    )
    index = motif_column or region_column
    if index is None:
        hint = (
            "a database of genes cannot be used" if "genes" in names else "check that it is a rankings or scores file"
        )
        raise fail(
            ValueError, f"{path.name} needs a column that names its rows: one of {[*MOTIF_COLUMNS, *REGION_COLUMNS]}.",
            f"{len(names)} columns, the last {listing(names[-3:])}.", f"{hint}; take one of regions_vs_motifs.",
        )  # fmt: skip
    place = np.flatnonzero(np.asarray(names, dtype=object) != index)
    columns = pd.Index(np.asarray(names, dtype=object)[place])
    kind = schema.field(int(place[0])).type if place.size else None
    if not (arrow.types.is_integer(kind) if ranks else arrow.types.is_floating(kind)):
        raise fail(
            ValueError, f"{path.name} must hold {'rankings (whole numbers)' if ranks else 'scores (decimal numbers)'}.",
            f"{kind} in its columns.", "give .rankings.feather to rankings= and .scores.feather to scores=.",
        )  # fmt: skip
    rows = pd.Index(np.concatenate([b.column(0).to_pylist() for b in _batches(arrow, path, [names.index(index)])]))
    need_unique(columns, what=f"columns of {path.name}")
    need_unique(rows, what=f"{index} of {path.name}")
    by_region = motif_column is not None
    motifs, regions = (rows, columns) if by_region else (columns, rows)
    return MotifDatabase(path, motifs.astype(str), regions.astype(str), by_region, place)


def _schema(arrow: ModuleType, path: Path) -> Any:
    if not path.is_file():
        raise fail(FileNotFoundError, "the cisTarget database must exist.", f"{path}.", "check the path.")
    with path.open("rb") as file:
        if file.read(4) == FEATHER_V1:
            raise fail(
                ValueError, f"{path.name} must be feather version 2 (Arrow IPC).", "version 1, which pyarrow gives up.",
                "take the v10 database, or rewrite it once with pyarrow.feather.read_table and write_feather.",
            )  # fmt: skip
    try:
        with arrow.OSFile(str(path)) as source:
            return arrow.ipc.open_file(source).schema
    except (arrow.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _batches(arrow: ModuleType, path: Path, columns: list[int]) -> Iterator[Any]:
    """Record batches that hold some columns only."""
    options = arrow.ipc.IpcReadOptions(included_fields=columns, use_threads=False)
    try:
        with arrow.OSFile(str(path)) as source:
            reader = arrow.ipc.open_file(source, options=options)
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                batch.validate()
                yield batch
    except (arrow.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> Exception:
    return fail(
        ValueError, f"{path.name} must be a complete feather file (Arrow IPC).",
        f"{path.stat().st_size:,} bytes that cannot be read ({str(error).splitlines()[0]}).",
        "compare the size and the checksum with those of the source, and copy or download the file again.",
    )  # fmt: skip


def motif_annotation(
    source: str | Path | pd.DataFrame, *, max_similarity: float = 0.001, min_identity: float = 0.0
) -> pd.DataFrame:
    """Read which TF each motif stands for, from a motif-to-TF table (`.tbl`, tab separated; plain or .gz).

    Returns
    -------
    Table with `motif`, `tf` and `kind`: `direct` (the TF's own motif), `orthology` (that of the same TF of another
    species), `similarity` (one like the TF's own) or `both`.
    """
    table = source if isinstance(source, pd.DataFrame) else _table(Path(source))
    table = table.rename(columns={"#motif_id": "motif_id"})
    missing = [name for name in ["motif_id", *TABLE_COLUMNS] if name not in table]
    if missing:
        raise fail(
            ValueError, f"a motif annotation needs the columns {['#motif_id', *TABLE_COLUMNS]}.",
            f"{listing(table.columns)}, without {missing}.", "take the .tbl file of the same motif collection.",
        )  # fmt: skip
    similarity, identity = (pd.to_numeric(table[name], errors="coerce") for name in TABLE_COLUMNS[1:3])
    used = table[(similarity.fillna(0) <= max_similarity) & (identity.fillna(1) >= min_identity)]
    text = used["description"].astype(str)
    orthologous, similar = (text.str.contains(word, regex=False).to_numpy() for word in ("ortholog", "similar"))
    kind = np.array(["direct", "orthology", "similarity", "both"])[orthologous + 2 * similar]
    out = pd.DataFrame(
        {"motif": used["motif_id"].astype(str).to_numpy(), "tf": used["gene_name"].astype(str).to_numpy(), "kind": kind}
    )
    return out.drop_duplicates(ignore_index=True)


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise fail(FileNotFoundError, "the motif annotation must exist.", f"{path}.", "check the path.")
    wanted = {"#motif_id", "motif_id", *TABLE_COLUMNS}
    head = pd.read_csv(path, sep="\t", nrows=0)
    columns = [name for name in head.columns if name in wanted]
    return pd.read_csv(path, sep="\t", usecols=columns if len(columns) > len(TABLE_COLUMNS) else None, dtype=str)
