"""TF -> gene links in the forms of other tools; each is read back by its own reader in the tests."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.optional import need

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MOST_PREDICTED = 50_000  # links that geneRNIB looks at
OF_PAIR = ("weight", "sign", "n_regions", "eregulon")


def merge_regions(edges: pd.DataFrame) -> pd.DataFrame:
    """One row per eRegulon and gene: `tf, gene, weight, sign, n_regions, eregulon`."""
    frame = edges.assign(
        tf=edges["tf"].astype(str), gene=edges["gene"].astype(str), eregulon=edges["eregulon"].astype(str),
        weight=edges["tf_gene_importance"] * edges["sign"], n_regions=(edges["region"].astype(str) != "").astype(int),
    )  # fmt: skip
    grouped = frame.groupby(["tf", "gene", "eregulon"], sort=True, as_index=False)
    return grouped.agg({"weight": "first", "sign": "first", "n_regions": "sum"})[
        ["tf", "gene", "weight", "sign", "n_regions", "eregulon"]
    ]


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """One row per TF and gene: the one with the largest weight, sorted by names."""
    order = np.argsort(-table["weight"].abs().to_numpy(), kind="stable")
    best = table.iloc[order].drop_duplicates(["tf", "gene"])
    return best.sort_values(["tf", "gene"], ignore_index=True)


def decoupler_net(table: pd.DataFrame) -> pd.DataFrame:
    """Make the table `source, target, weight` of decoupler."""
    return strongest(table).rename(columns={"tf": "source", "gene": "target"})[["source", "target", "weight"]]


def digraph(table: pd.DataFrame) -> Any:
    """`networkx.DiGraph` with plain Python numbers as edge attributes, so that every writer of networkx takes it."""
    graph = need("networkx").DiGraph()
    best = strongest(table)
    values = zip(*(best[name].tolist() for name in OF_PAIR), strict=True)
    graph.add_edges_from(
        (tf, gene, dict(zip(OF_PAIR, row, strict=True)))
        for tf, gene, row in zip(best["tf"], best["gene"], values, strict=True)
    )
    return graph


def igraph_graph(table: pd.DataFrame) -> Any:
    """Directed `igraph.Graph`; vertices carry `name`, edges what those of networkx carry."""
    names, index, best = numbered(table)
    return need("igraph").Graph(
        n=len(names), edges=index.T.tolist(), directed=True, vertex_attrs={"name": names},
        edge_attrs={name: best[name].tolist() for name in OF_PAIR},
    )  # fmt: skip


def pyg_graph(table: pd.DataFrame) -> Any:
    """`torch_geometric.data.Data` on the genes of the network, whose names are in `node_name`."""
    import torch
    from torch_geometric.data import Data

    names, index, best = numbered(table)
    weight = best["weight"].to_numpy(dtype=np.float32)
    return Data(
        edge_index=torch.from_numpy(index), edge_attr=torch.from_numpy(weight[:, None]),
        edge_sign=torch.from_numpy(best["sign"].to_numpy(dtype=np.int64)), num_nodes=len(names), node_name=names,
    )  # fmt: skip


def numbered(table: pd.DataFrame) -> tuple[list[str], np.ndarray, pd.DataFrame]:
    """Sorted names of TFs and genes, the links as numbers of names (2 x links), and their rows."""
    best = strongest(table)
    names = pd.Index(sorted({*best["tf"], *best["gene"]}), dtype=object)
    index = np.stack([names.get_indexer(best[column]) for column in ("tf", "gene")]).astype(np.int64)
    return list(names), index, best


def gene_sets(table: pd.DataFrame) -> str:
    """GMT text, one eRegulon per line: name, TF, genes. No blanks inside a field: some readers split there."""
    lines = [
        "\t".join([str(name), str(part["tf"].iloc[0]), *sorted(set(part["gene"]))])
        for name, part in table.groupby("eregulon", sort=True)
    ]
    return "".join(f"{line}\n" for line in lines)


def graphml_text(table: pd.DataFrame) -> str:
    """GraphML text."""
    return "\n".join(need("networkx").generate_graphml(digraph(table))) + "\n"


def cytoscape_text(table: pd.DataFrame) -> str:
    """Cytoscape JSON text."""
    return json.dumps(need("networkx").cytoscape_data(digraph(table))) + "\n"


def prediction(table: pd.DataFrame) -> AnnData:
    """Make the file that geneRNIB scores: the strongest links in `uns["prediction"]`, weights as text as it asks."""
    from anndata import AnnData

    net = decoupler_net(table)
    order = np.argsort(-net["weight"].abs().to_numpy(), kind="stable")[:MOST_PREDICTED]
    if len(net) > MOST_PREDICTED:
        logger.info(
            "geneRNIB looks at %d links: the %d weakest are left out", MOST_PREDICTED, len(net) - MOST_PREDICTED
        )
    net = net.iloc[order].set_axis(pd.RangeIndex(order.size).astype(str))
    uns = {"method_id": "grnformer_sc", "dataset_id": "unknown", "prediction": net.astype({"weight": str})}
    return AnnData(uns=uns)


PAIR_WRITERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda table: table,
    "decoupler": decoupler_net,
    "networkx": digraph,
    "igraph": igraph_graph,
    "pyg": pyg_graph,
    "graphml": graphml_text,
    "cyjs": cytoscape_text,
    "gmt": gene_sets,
    "genernib": prediction,
}
