"""The large perturbation model in `build_grn`: profiles of the cells, a fit, its largest predictions as links."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.inputs import ALL_CELLS
from ..grn.systems.lpm.network import edges_of
from ..grn.systems.lpm.options import LpmOptions
from ..pp import perturbation_profiles
from ._systems import SystemInput, SystemNetwork

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

PERTURBATION, CONTEXT = "perturbation", "context"
EMBEDDINGS = {PERTURBATION: "perturbation_embedding", "readout": "readout_embedding"}  # in uns, beside the network


def infer_lpm(given: SystemInput, options: LpmOptions) -> SystemNetwork:
    """Fit the model to all perturbations, and link each perturbed gene to what changes most, mean over contexts."""
    from ..model import LPM, LPMConfig

    profiles = _profiles(given, options)
    genes, names = given.cells.genes, pd.Index(profiles.obs[PERTURBATION].astype(str).unique())
    perturbed = names[names.isin(genes if given.regulators is None else given.regulators.intersection(genes))]
    if perturbed.empty:
        raise fail(
            ValueError, "some perturbed gene must be a gene of the data (and one of tfs=, where these are given).",
            f"perturbations {listing(names)}, genes {listing(genes, 5)}.",
            "use the gene names of the data in the column of perturbations.",
        )  # fmt: skip
    config = LPMConfig(epochs=options.epochs, batch_size=options.batch_size)
    model = LPM.fit(profiles, config, rng=given.root, device=options.device)
    contexts = list(model.vocabulary.contexts)
    found = [model.predict(list(perturbed), context).to_numpy(dtype=np.float64) for context in contexts]
    logger.info(
        "lpm: %d perturbed genes in %d contexts; %d perturbations are no genes of the data or not asked for",
        perturbed.size, len(contexts), names.size - perturbed.size,
    )  # fmt: skip
    edges = edges_of(
        np.mean(found, axis=0), genes.get_indexer(perturbed).astype(np.int64), genes,
        sign=-1 if options.action == "loss" else 1, top=options.top,
    )  # fmt: skip
    stored = {slot: model.embedding(kind).rename(columns=str) for kind, slot in EMBEDDINGS.items()}  # type: ignore[arg-type]
    holds = sp.csr_matrix(np.ones((len(edges), 1), dtype=bool))
    return SystemNetwork(edges, holds, stored, {"perturbations_not_linked": int(names.size - perturbed.size)})


def _profiles(given: SystemInput, options: LpmOptions) -> AnnData:
    """Changes against control of every perturbation in every context, genes in the order of their names."""
    from anndata import AnnData

    label = given.column(options.perturbation_key, "perturbation_key").to_numpy()
    context = ALL_CELLS if options.context_key is None else given.column(options.context_key, "context_key").to_numpy()
    obs = pd.DataFrame({PERTURBATION: label, CONTEXT: context}, index=given.rna.obs_names)
    cells = AnnData(given.cells.counts.to_memory(), obs=obs, var=pd.DataFrame(index=given.cells.genes))
    return perturbation_profiles(
        cells, PERTURBATION, context_key=CONTEXT, control=options.control, min_cells=options.min_cells
    )
