"""`get.network`: a network in the form that other tools read."""

from __future__ import annotations

from typing import Any

from .._core.checks import need_one_of
from ._export import PAIR_WRITERS, merge_regions
from ._grn import grn
from ._triplets import TRIPLET_WRITERS

FORMATS = (*PAIR_WRITERS, *TRIPLET_WRITERS)


def network(
    data: Any,
    *,
    group: str | None = None,
    cell: str | None = None,
    format: str = "frame",
    key: str = "grn",
    rna: str = "rna",
) -> Any:
    """Read the network, of all cells, a cell type or a cell, in the form that other tools read.

    Parameters
    ----------
    data
        AnnData or MuData.
    group, cell
        Restrict to a cell type or a cell.
    format
        With regions merged, one row per eRegulon and gene: `"frame"`, table `tf, gene, weight, sign, n_regions,
        eregulon`; `"gmt"`, text with one gene set per eRegulon.

        With regions merged and one link per TF and gene, the strongest where several eRegulons share it: `"decoupler"`,
        table `source, target, weight`; `"networkx"`, `DiGraph`; `"igraph"`, directed `Graph`; `"pyg"`,
        `torch_geometric.data.Data` on the genes of the network with `edge_index` (2 x links, int64), `edge_attr` (links x
        1, float32, the weight), `edge_sign` and `node_name`; `"graphml"`, `"cyjs"`, text for Cytoscape and others;
        `"genernib"`, AnnData with the 50,000 strongest links in `uns["prediction"]` (set its `uns["dataset_id"]`).

        With regions: `"greta"`, table `source, cre, target, score`; `"scenicplus"`, the eRegulon table of SCENIC+.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table, graph, AnnData or text; weights are signed importances (-1 to 1).

    Raises
    ------
    KeyError
        There is no network, or the group or cell is unknown.
    ValueError
        The format is unknown, or it needs regions and the network has none.
    ImportError
        The package of the form (networkx, igraph) is not installed.

    See Also
    --------
    grnformer_sc.get.write_network : write it to a file.
    grnformer_sc.priors.read_network : read such a file.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> list(grs.get.network(mdata, format="decoupler").columns)
    ['source', 'target', 'weight']
    """
    need_one_of(format, FORMATS, name="format")
    edges = grn(data, group=group, cell=cell, key=key, rna=rna)
    if format in TRIPLET_WRITERS:
        return TRIPLET_WRITERS[format](edges)
    return PAIR_WRITERS[format](merge_regions(edges))
