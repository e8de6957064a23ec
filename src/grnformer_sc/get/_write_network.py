"""`get.write_network`: a network in a file of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._core.checks import fail
from .._core.files import whole_file
from ._network import network

OF_SUFFIX = {
    ".graphml": ("graphml",),
    ".cyjs": ("cyjs",),
    ".gmt": ("gmt",),
    ".csv": ("frame", "decoupler", "greta", "scenicplus"),
    ".tsv": ("scenicplus", "frame", "decoupler", "greta"),
    ".h5ad": ("genernib",),
}


def write_network(
    data: Any,
    path: str | Path,
    *,
    format: str | None = None,
    group: str | None = None,
    cell: str | None = None,
    key: str = "grn",
    rna: str = "rna",
) -> None:
    """Write the network, of all cells, a cell type or a cell, to a file; the whole file or none.

    Parameters
    ----------
    data
        AnnData or MuData.
    path
        File. Its suffix names the format: `.graphml`, `.cyjs`, `.gmt`, `.h5ad` (geneRNIB), `.csv`, `.tsv`.
    format
        Format of a table (see :func:`~grnformer_sc.get.network`): `"frame"` (by default in `.csv`), `"decoupler"`,
        `"greta"` or `"scenicplus"` (by default in `.tsv`).
    group, cell
        Restrict to a cell type or a cell.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    `None`; an existing file is replaced.

    Raises
    ------
    KeyError
        There is no network, or the group or cell is unknown.
    ValueError
        The suffix is unknown, does not fit the format, or the format needs regions.
    FileNotFoundError
        The folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> path = Path(tempfile.mkdtemp()) / "network.graphml"
    >>> grs.get.write_network(mdata, path)
    >>> len(grs.priors.read_network(path)) > 0
    True
    """
    path = Path(path)
    allowed = OF_SUFFIX.get(path.suffix.lower(), ())
    chosen = format or next(iter(allowed), None)
    if chosen not in allowed:
        raise fail(
            ValueError, f"the suffix must be one of {list(OF_SUFFIX)} and fit the format.",
            f"{path.name!r}" + (f" with format={format!r}." if format else "."),
            f"{path.suffix!r} takes format= one of {list(allowed)}." if allowed else "rename the file.",
        )  # fmt: skip
    made = network(data, group=group, cell=cell, format=chosen, key=key, rna=rna)
    with whole_file(path) as draft:
        _write(made, draft, sep="\t" if path.suffix.lower() == ".tsv" else ",")


def _write(made: Any, path: Path, *, sep: str) -> None:
    if isinstance(made, str):
        path.write_text(made, encoding="utf-8")
    elif hasattr(made, "write_h5ad"):
        made.write_h5ad(path)
    else:
        made.to_csv(path, sep=sep, index=False)
