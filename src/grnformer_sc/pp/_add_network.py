"""`pp.add_network`: a network from elsewhere, stored beside data that it is not scored in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .._core.checks import fail, nearest
from .._core.inputs import ALL_CELLS
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.tables import edge_table
from ..grn.layout import weight_matrix
from ..grn.score import network_of_links
from ..priors import read_network

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def add_network(adata: AnnData, net: Any, *, key_added: str = "grn", copy: bool = False) -> AnnData | None:
    """Store a network from elsewhere (a prior, another data set) with its links among the genes of these data.

    For data without counts, such as z-scores of bulk cell lines, where a network can neither be inferred nor scored by
    AUCell. Counts are scored by `grs.tl.cell_grn(data, net=..., thresholds="fit")` instead.

    Parameters
    ----------
    adata
        Cells or cell lines.
    net
        Anything `grs.priors.read_network` reads: a table `source`, `target`, `weight` (decoupler), an edge table, a file.
    key_added
        Base name of the slots.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy. Sets:

    `adata.uns[key_added]`
        `edges` and what else a network has (see the page on the design); one group "all", in which every link holds.
    `adata.varp[key_added]` : CSR float32 genes x genes
        Signed weights TF -> gene.

    Raises
    ------
    KeyError
        No target of the network is a gene of the data.
    ValueError
        The network cannot be read.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> lines = ad.AnnData(np.eye(3, dtype="float32"), var=pd.DataFrame(index=["TP53", "MDM2", "BAX"]))
    >>> grs.pp.add_network(lines, pd.DataFrame({"source": "TP53", "target": ["MDM2", "BAX", "KRAS"], "weight": 1.0}))
    >>> len(grs.get.grn(lines))
    2
    """
    adata = adata.copy() if copy else adata
    keys = GrnKeys(key_added)
    with step(logger, "add_network") as facts:
        edges = read_network(net)
        here = edges["gene"].astype(str).isin(adata.var_names)
        if not here.any():
            raise fail(
                KeyError, "targets of the network must be genes of the data.",
                f"{nearest(edges['gene'].astype(str).unique(), adata.var_names)}.",
                "use the same gene names, see grs.pp.harmonize_genes.",
            )  # fmt: skip
        kept = edge_table(edges[here])
        facts.append(f"{len(kept)} of {len(edges)} links have their target in the data, of {kept['tf'].nunique()} TFs")
    holds = sp.csr_matrix(np.ones((len(kept), 1), dtype=bool))
    network = network_of_links(kept, [ALL_CELLS], holds)
    dropped = {"links without their target": int((~here).sum())}
    params = {"method": "given", "groupby": None, "evidence": "prior"}
    out = Results()
    out.uns[keys.uns] = {
        **network.to_uns(),
        "params": recipe("add_network", params, inputs={"net": "given"}, dropped=dropped),
    }
    out.varp[keys.varp] = weight_matrix(kept, adata.var_names)
    out.write(adata)
    return adata if copy else None
