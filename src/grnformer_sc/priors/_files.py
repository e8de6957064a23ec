"""Files that hold a network, read into one table each; nothing is unpickled or evaluated."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import pandas as pd

from .._core.checks import fail, listing
from .._core.optional import need
from ._base_grn import read_parquet

logger = logging.getLogger(__name__)

PICKLES = (".pkl", ".pickle", ".p", ".dat", ".joblib", ".dill")
UNS_TABLES = (("direct_e_regulon_metadata", "extended_e_regulon_metadata"), ("prediction",), ("eRegulon_metadata",))


def open_table(path: Path, container: str | None = None) -> pd.DataFrame:
    """Read the table of a file, by its suffix or as the named container."""
    if not path.is_file():
        raise fail(FileNotFoundError, "the network file must exist.", f"no file {str(path)!r}.", "check the path.")
    _refuse_pickle(path)
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    read = READERS.get(container or "") or OF_SUFFIX.get(suffix.lower())
    if read is None:
        raise fail(
            ValueError, f"a network file must have one of the suffixes {list(OF_SUFFIX)}.", f"{path.name!r}.",
            f"rename it, or name what it is: format= one of {list(READERS)}.",
        )  # fmt: skip
    return read(path)


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix.lower() in PICKLES or (start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        raise fail(
            ValueError, "networks are read from tables and graphs, never from pickles (they run code).", f"{path.name!r}.",
            "write it as a table in the program that made it, for example pyscenic ctx --output regulons.csv.",
        )  # fmt: skip


def _open_text(path: Path) -> Any:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix.lower() == ".gz" else path.open(encoding="utf-8")


def read_text(path: Path) -> pd.DataFrame:
    """CSV or TSV; the two header rows of `pyscenic ctx` become one."""
    with _open_text(path) as file:
        head = [file.readline(), file.readline()]
    if not head[0].strip():
        raise fail(ValueError, "a network file must hold a table.", f"{path.name!r} is empty.", "check the file.")
    sep = "\t" if "\t" in head[0] else ","
    if "TargetGenes" in head[1].split(sep):
        table = pd.read_csv(path, sep=sep, header=[0, 1], index_col=[0, 1])
        return table.droplevel(0, axis=1).reset_index(names=["TF", "MotifID"])
    return pd.read_csv(path, sep=sep, keep_default_na=False, na_values=[""])  # nan is a gene of the fly


def read_gmt(path: Path) -> pd.DataFrame:
    """One row per regulon and gene: `regulon, description, gene`."""
    with _open_text(path) as file:
        fields = [line.rstrip("\r\n").split("\t") for line in file if line.strip() and not line.startswith("#")]
    rows = [(line[0], line[1], gene) for line in fields for gene in line[2:] if gene]
    n_empty = sum(not any(line[2:]) for line in fields)
    if n_empty:
        logger.info("%s: %d of %d gene sets hold no gene", path.name, n_empty, len(fields))
    return pd.DataFrame(rows, columns=["regulon", "description", "gene"])


def read_loom(path: Path) -> pd.DataFrame:
    """Regulons of a loom file by pySCENIC: a field per regulon, 1 for its genes, in the row attribute `Regulons`."""
    with h5py.File(path, "r") as file:
        held = file.get("row_attrs", {})
        found = [name for name in ("Regulons", "MotifRegulons") if name in held]
        if not found or "Gene" not in held:
            raise fail(
                ValueError, "the loom file must have the row attributes 'Gene' and 'Regulons'.",
                f"{listing(held)} in {path.name!r}.", "run pyscenic aucell on it, or read the csv of pyscenic ctx.",
            )  # fmt: skip
        genes = held["Gene"].asstr()[:]
        members = held[found[0]][:]
    parts = {name: genes[members[name] != 0] for name in members.dtype.names or ()}
    rows = [(name, gene) for name, part in parts.items() for gene in part]
    return pd.DataFrame(rows, columns=["regulon", "gene"])


def read_graphml(path: Path) -> pd.DataFrame:
    """GraphML: a row per edge with its attributes; nodes go by their `name` where they have one."""
    graph = need("networkx").read_graphml(path)
    names = {node: str(values.get("name", node)) for node, values in graph.nodes(data=True)}
    return _edge_rows([(names[a], names[b], values) for a, b, values in graph.edges(data=True)])


def read_cyjs(path: Path) -> pd.DataFrame:
    """Cytoscape JSON, as networkx and Cytoscape write it."""
    with _open_text(path) as file:
        content = json.load(file)
    elements = content.get("elements") if isinstance(content, dict) else None
    if not isinstance(elements, dict) or "nodes" not in elements:
        raise fail(
            ValueError, "a Cytoscape file must hold 'elements' with 'nodes' and 'edges'.", f"none in {path.name!r}.",
            "export the network as Cytoscape.js JSON.",
        )  # fmt: skip
    nodes = [node["data"] for node in elements["nodes"]]
    names = {str(node["id"]): str(node.get("name", node["id"])) for node in nodes}
    edges = [dict(edge["data"]) for edge in elements.get("edges", [])]
    return _edge_rows([(names[str(e.pop("source"))], names[str(e.pop("target"))], e) for e in edges])


def _edge_rows(edges: list[tuple[str, str, dict[str, Any]]]) -> pd.DataFrame:
    rows = [{**values, "tf": tf, "gene": gene} for tf, gene, values in edges]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["tf", "gene"])


def read_hdf5(path: Path) -> pd.DataFrame:
    """h5ad or h5mu: the eRegulons of SCENIC+, a prediction for geneRNIB, or a network of this package."""
    from anndata.io import read_elem

    with h5py.File(path, "r") as file:
        places = [file, *(file["mod"].values() if "mod" in file else ())]
        for place in places:
            found = tables_of_uns(place.get("uns", {}), read_elem)
            if found is not None:
                return found
    raise _no_network(path.name)


def table_of_object(data: Any) -> pd.DataFrame:
    """Find the same in an AnnData or MuData in memory."""
    for place in (data, *getattr(data, "mod", {}).values()):
        found = tables_of_uns(place.uns, lambda table: table)
        if found is not None:
            return found
    raise _no_network(type(data).__name__)


def tables_of_uns(uns: Mapping[str, Any], read: Callable[[Any], pd.DataFrame]) -> pd.DataFrame | None:
    """Return the network that `uns` holds, if any."""
    for names in UNS_TABLES:
        found = [read(uns[name]) for name in names if name in uns]
        if found:
            return pd.concat(found, ignore_index=True)
    held = uns.get("grn")
    return read(held["edges"]) if held is not None and "edges" in held else None


def _no_network(name: str) -> Exception:
    wanted = [table for tables in UNS_TABLES for table in tables]
    return fail(
        ValueError, f"uns must hold a network: one of {wanted} or 'grn'.", f"none of them in {name!r}.",
        "name the file that holds the network.",
    )  # fmt: skip


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "gmt": read_gmt,
    "loom": read_loom,
    "graphml": read_graphml,
    "cyjs": read_cyjs,
}
OF_SUFFIX: dict[str, Callable[[Path], pd.DataFrame]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".tab"), read_text),
    ".gmt": read_gmt,
    ".loom": read_loom,
    ".graphml": read_graphml,
    ".cyjs": read_cyjs,
    ".json": read_cyjs,
    ".parquet": read_parquet,
    ".h5ad": read_hdf5,
    ".h5mu": read_hdf5,
}
