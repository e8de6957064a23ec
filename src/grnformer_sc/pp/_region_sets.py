"""Sets of regions from names, BED files or a table, as row numbers of the regions of the data."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.files import bed_lines
from ..grn.intervals import overlapping
from ..grn.region_gene import parse_regions

logger = logging.getLogger(__name__)

BED_SUFFIXES = (".bed", ".bed.gz", ".narrowPeak", ".broadPeak", ".narrowPeak.gz", ".broadPeak.gz")
Sets = dict[str, np.ndarray]


def region_sets_of(source: Any, names: pd.Index, *, fraction: float) -> Sets:
    """Read sets by name (sorted); regions that are not in `names` stand for those they overlap."""
    own = parse_regions(names)
    out: Sets = {}
    for name, regions in sorted(_named(source).items()):
        given = _bed(Path(regions)) if isinstance(regions, (str, Path)) else pd.Index(regions).astype(str)
        place = names.get_indexer(given)
        others = given[place < 0]
        found = place[place >= 0]
        if len(others):
            left, right = overlapping(parse_regions(others), own, fraction=float(fraction))
            found = np.concatenate([found, right])
            logger.info(
                "region set %r: %d of %d regions by name, %d by overlap", name, int((place >= 0).sum()), len(given),
                np.unique(left).size,
            )  # fmt: skip
        out[name] = np.unique(found)
    empty = [name for name, found in out.items() if not found.size]
    if len(empty) == len(out):
        raise fail(
            ValueError, "at least one region set must share regions with the data.",
            f"{len(out)} sets, none with a region of the data such as {listing(names, 3)}.",
            "use the same genome build and the same chromosome names (chr1 against 1).",
        )  # fmt: skip
    if empty:
        logger.info("region sets without a region of the data are left out: %s", listing(empty))
    return {name: found for name, found in out.items() if found.size}


def sets_of_table(table: pd.DataFrame, names: pd.Index) -> Sets:
    """Sets from the columns `group` and `region`."""
    place = names.get_indexer(table["region"].astype(str))
    group = table["group"].astype(str).to_numpy()
    return {str(name): np.unique(place[(group == name) & (place >= 0)]) for name in np.unique(group)}


def _named(source: Any) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return {str(name): regions for name, regions in source.items()}
    if isinstance(source, (str, Path)):
        folder = Path(source)
        files = sorted(path for path in folder.rglob("*") if path.name.endswith(BED_SUFFIXES))
        if not files:
            raise fail(
                ValueError, "region_sets= names a folder that holds BED files.", f"no BED file in {folder}.",
                "check the path; one file is given as {'name': 'file.bed'}.",
            )  # fmt: skip
        return {_stem(path.relative_to(folder)): path for path in files}
    if isinstance(source, Iterable) and not isinstance(source, pd.DataFrame):
        return {_stem(Path(Path(path).name)): path for path in source}
    raise fail(
        TypeError, "region_sets is a dict of names, a folder, or a list of BED files.", f"{type(source).__name__}.",
        "write {'set name': ['chr1:100-600', ...]}.",
    )  # fmt: skip


def _stem(path: Path) -> str:
    name = path.as_posix()
    return next((name.removesuffix(suffix) for suffix in BED_SUFFIXES if name.endswith(suffix)), name)


def _bed(path: Path) -> pd.Index:
    if not path.is_file():
        raise fail(FileNotFoundError, "the BED file must exist.", f"{path}.", "check the path.")
    rows = [line.split() for line in bed_lines(path)]
    bad = [row for row in rows if len(row) < 3 or not (row[1].isdigit() and row[2].isdigit())]
    if bad:
        raise fail(
            ValueError, f"{path.name} must be BED: chromosome, start, end.",
            f"{len(bad)} of {len(rows)} lines that are not, such as {' '.join(bad[0])!r}.", "check the columns.",
        )  # fmt: skip
    return pd.Index([f"{chrom}:{start}-{end}" for chrom, start, end, *_ in rows], dtype=str)
