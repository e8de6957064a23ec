"""The method knows no species: other names of genes and chromosomes give the same network under those names.

Seeds are hashed from names, so the second run hashes the first names; nothing else may depend on them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core import rng as core_rng

STYLES = {
    "fly": (lambda i: f"CG{10_000 + i}", lambda chrom: {"1": "2L", "2": "2R", "3": "3L"}.get(chrom, f"X{chrom}")),
    "plant": (lambda i: f"AT{1 + i // 500}G{10_000 + i}", lambda chrom: f"Chr{chrom}"),
}


def renamed(mdata, style):
    """The same data under other names; names sort as before, so that rows of tables keep their order."""
    gene, chrom = STYLES[style]
    rna, atac = mdata["rna"].copy(), mdata["atac"].copy()
    genes = {name: gene(i) for i, name in enumerate(sorted(rna.var_names))}
    places = {name: chrom(str(name).removeprefix("chr")) for name in rna.var["chrom"].astype(str).unique()}
    rna.var["chrom"] = rna.var["chrom"].astype(str).map(places)
    rna.var_names = rna.var_names.map(genes)
    old = atac.var_names.str.split(":", expand=True).to_frame(index=False)
    atac.var_names = old[0].map(places) + ":" + old[1]
    atac.var["chrom"] = atac.var["chrom"].astype(str).map(places).to_numpy()
    atac.uns["motifs"]["tfs"] = np.array([genes[name] for name in atac.uns["motifs"]["tfs"]], dtype=object)
    regions = dict(zip(mdata["atac"].var_names, atac.var_names, strict=True))
    return (rna, atac), genes, regions


@pytest.mark.parametrize("style", list(STYLES))
def test_the_network_is_the_same_under_other_names(toy, style, monkeypatch):
    other, genes, regions = renamed(toy, style)
    tfs = list(toy["atac"].uns["motifs"]["tfs"])
    grs.tl.build_grn(toy, groupby="cell_type", tfs=tfs)
    back = {new: old for names in (genes, regions) for old, new in names.items()}
    hashed = core_rng._hash64
    monkeypatch.setattr(core_rng, "_hash64", lambda *parts: hashed(*(back.get(part, part) for part in parts)))
    grs.tl.build_grn(other, groupby="cell_type", tfs=[genes[name] for name in tfs])
    first, second = grs.get.grn(toy["rna"]), grs.get.grn(other[0])
    first = first.assign(tf=first["tf"].map(genes), gene=first["gene"].map(genes), region=first["region"].map(regions))
    keys = ["tf", "gene", "region", "sign", "region_sign"]
    tables = [t.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True) for t in (first, second)]
    assert len(tables[0]) > 0
    columns = [*keys, "tf_gene_importance", "tf_gene_rho", "region_gene_rho", "distance", "score"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])
