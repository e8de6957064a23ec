"""Networks in the forms of other tools; each is read back by its own reader in the tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from .._core.optional import need


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """One row per TF and gene: the one with the largest weight, sorted by names."""
    order = np.argsort(-table["weight"].abs().to_numpy(), kind="stable")
    best = table.iloc[order].drop_duplicates(["tf", "gene"])
    return best.sort_values(["tf", "gene"], ignore_index=True)


def digraph(table: pd.DataFrame) -> Any:
    """`networkx.DiGraph` with plain Python numbers as edge attributes, so that every writer of networkx takes it."""
    graph = need("networkx").DiGraph()
    for row in strongest(table).itertuples():
        graph.add_edge(
            row.tf,
            row.gene,
            weight=float(row.weight),
            sign=int(row.sign),
            n_regions=int(row.n_regions),
            eregulon=row.eregulon,
        )
    return graph


def gene_sets(table: pd.DataFrame) -> str:
    """GMT text, one eRegulon per line: name, TF, genes. No blanks inside a field: some readers split there."""
    lines = [
        "\t".join([str(name), str(part["tf"].iloc[0]), *sorted(set(part["gene"]))])
        for name, part in table.groupby("eregulon", sort=True)
    ]
    return "".join(f"{line}\n" for line in lines)


def graphml_text(graph: Any) -> str:
    """GraphML text."""
    return "\n".join(need("networkx").generate_graphml(graph)) + "\n"


def cytoscape_text(graph: Any) -> str:
    """Cytoscape JSON text."""
    return json.dumps(need("networkx").cytoscape_data(graph)) + "\n"
