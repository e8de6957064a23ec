"""`tl.rank_eregulons`: eRegulons that differ between cell types or conditions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

from .._core.checks import need_one_of
from .._core.inputs import copy_of, resolve
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from ..get._read import need_scores
from ..grn.contrasts import REST, rank_table
from ._contrasts import chosen_levels, log_contrasts, read_labels

logger = logging.getLogger(__name__)

SHOWN_FDR = 0.05  # in the log


def rank_eregulons(
    data: Any,
    groupby: str,
    *,
    reference: str = REST,
    groups: Sequence[str] | None = None,
    sample_key: str | None = None,
    within: str | None = None,
    kind: Literal["gene", "region"] = "gene",
    min_cells: int = 10,
    moderate: bool = True,
    key: str = "grn",
    key_added: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> Any:
    """Rank eRegulons by how much their activity differs between groups, tested between samples and never between cells.

    The AUC of an eRegulon is averaged over the cells of a sample (donor, mouse, well) on each side of a contrast, and these
    means are compared: as pairs where the samples have both sides, else as independent samples, by the moderated t, which
    draws the variance of each eRegulon towards that of all (Smyth 2004). Cells of one sample share its biology and its
    preparation, so that a test between cells finds differences between donors where nothing else differs (Squair et al.
    2021). Without `sample_key` there are effect sizes and no p-values.

    Parameters
    ----------
    data
        AnnData or MuData with activities, as `tl.build_grn` and `tl.cell_grn` write them.
    groupby
        Column of obs whose values are compared: cell types, or conditions.
    reference
        Value to compare with, or `"rest"`: the cells of all other groups.
    groups
        Values to compare; by default all but the reference.
    sample_key
        Column of obs with the samples that are replicates. The same name on both sides means the same donor.
    within
        Column of obs, such as cell types, in each of which the contrast is made.
    kind
        Activity of the target genes, or of the regions. The latter is taken on cells pooled with their neighbours, which
        may be of another sample.
    min_cells
        Cells that a sample needs on a side to count there.
    moderate
        Draw variances towards their prior; `False` is the ordinary t, which needs more samples.
    key
        Base name of the network.
    key_added
        Key of the result; by default `"grn_rank_eregulons"` (`"grn_rank_eregulons_region"`).
    rna, atac
        Names of the modalities.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `uns["grn_rank_eregulons"]` : `table`, `contrasts` (DataFrames) and `params`

    `table` has one row per contrast and eRegulon, best first: `group`, `reference`, `within` ("" without), `eregulon`,
    `mean_group`, `mean_reference` and `difference` (AUC, 0 to 1; means over samples), `ci_low`, `ci_high` (95 %),
    `statistic`, `p`, `fdr` (Benjamini-Hochberg within a contrast), `auroc` and `rss` (of all cells of both sides: chance
    that a cell of the group is the more active; specificity), `n_samples_group`, `n_samples_reference`. `contrasts` says how
    each was tested: `design` ("paired", "independent", "none"), samples, cells, samples left out, prior degrees of freedom
    and standard deviation, `reason` where there is no test.

    Raises
    ------
    KeyError
        There is no network or activity, or a column or group is unknown.
    ValueError
        Two of the columns are the same, there are fewer than two groups, or no sample has enough cells.

    See Also
    --------
    grnformer_sc.tl.differential_edges : links instead of eRegulons.
    grnformer_sc.pl.rank_eregulons : the figure.

    References
    ----------
    Smyth, *Statistical Applications in Genetics and Molecular Biology* 2004; Squair et al., *Nature Communications* 2021.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> mdata["rna"].obs["donor"] = [f"donor{i % 4}" for i in range(200)]
    >>> grs.tl.rank_eregulons(mdata, "cell_type", reference="type1", sample_key="donor")
    >>> grs.get.rank_eregulons(mdata, group="type2")["n_samples_group"].unique().tolist()
    [4]
    """
    need_one_of(kind, ("gene", "region"), name="kind")
    keys = GrnKeys(key)
    slot, result = (keys.auc, keys.rank_eregulons) if kind == "gene" else (keys.auc_region, keys.rank_eregulons_region)
    data = copy_of(data) if copy else data
    adata, atac_data = resolve(data, rna, atac)
    need_scores(adata, slot)
    labels = read_labels(
        data, adata, atac_data, groupby=groupby, sample_key=sample_key, within=within, min_cells=min_cells
    )
    chosen = chosen_levels(labels, groupby, groups, reference)
    auc = adata.obsm[slot]
    with step(logger, "rank_eregulons") as facts:
        table, contrasts = rank_table(
            auc.to_numpy(), list(auc.columns), labels, chosen, reference, min_cells=min_cells, moderate=moderate
        )
        tested = contrasts["design"].ne("none")
        facts.append(f"{auc.shape[1]} eRegulons, {tested.sum()} of {len(contrasts)} contrasts tested")
        facts.append(f"{int((table['fdr'] <= SHOWN_FDR).sum())} differences with fdr <= {SHOWN_FDR}")
    log_contrasts("rank_eregulons", contrasts)
    params = {
        "groupby": groupby, "reference": reference, "groups": chosen, "sample_key": sample_key, "within": within,
        "kind": kind, "min_cells": min_cells, "moderate": moderate,
    }  # fmt: skip
    record = recipe(
        "rank_eregulons", params, inputs={"activity": slot},
        dropped={"contrasts": int((~tested).sum()), "samples": int(contrasts["n_samples_left_out"].sum())},
    )  # fmt: skip
    key_added = result if key_added is None else key_added
    Results(uns={key_added: {"table": table, "contrasts": contrasts, "params": record}}).write(adata)
    return data if copy else None
