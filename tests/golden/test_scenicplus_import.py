"""eRegulons that SCENIC+ made, in its published layout, become the same links here and go back unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.get._triplets import scenicplus_table

SIGN = {"+": 1, "-": -1}


def published(folder: Path, name: str) -> pd.DataFrame:
    """The stored eRegulons with the columns and names that the program writes."""
    table = pd.read_csv(folder / f"{name}_cli_eregulons.csv.gz").rename(columns={"region": "Region", "gene": "Gene"})
    tf_gene, region_gene = (np.load(folder / f"{name}_{kind}.npz") for kind in ("tf_to_gene", "region_to_gene"))
    genes = region_gene["gene_names"]
    first = pd.DataFrame(
        {"TF": genes[tf_gene["tf"]], "Gene": genes[tf_gene["gene"]], "importance_TF2G": tf_gene["importance"],
         "regulation": tf_gene["regulation"], "rho_TF2G": tf_gene["rho_pearson"]}
    )  # fmt: skip
    second = pd.DataFrame(
        {"Region": region_gene["region_names"][region_gene["region"]], "Gene": genes[region_gene["gene"]],
         "importance_R2G": region_gene["importance"], "rho_R2G": region_gene["rho_spearman"]}
    )  # fmt: skip
    table = table.merge(first.drop_duplicates(["TF", "Gene"], keep="last"), how="left", on=["TF", "Gene"])
    table = table.merge(second, how="left", on=["Region", "Gene"])
    table["eRegulon_name"] = table["TF"] + "_direct_" + table["tf2g_sign"] + "/" + table["r2g_sign"]
    return table.assign(is_extended=False, triplet_rank=np.arange(len(table)))


@pytest.mark.golden
@pytest.mark.parametrize("name", ["planted", "cortex"])
def test_eregulons_of_the_program_are_read_and_written_unchanged(golden_dir: Path, tmp_path: Path, name: str) -> None:
    table = published(golden_dir / "scenicplus", name)
    path = tmp_path / "eRegulon_direct.tsv"
    table.drop(columns=["tf2g_sign", "r2g_sign", "thresholds"]).to_csv(path, sep="\t", index=False)
    edges = grs.priors.read_network(path)
    ours = {(r.tf, r.region, r.gene, r.sign, r.region_sign) for r in edges.itertuples()}
    theirs = {(r.TF, r.Region, r.Gene, SIGN[r.tf2g_sign], SIGN[r.r2g_sign]) for r in table.itertuples()}
    assert ours == theirs
    assert len(edges) == len(table)
    assert edges["eregulon"].nunique() == table["eRegulon_name"].nunique()
    again = scenicplus_table(edges)
    both = table.merge(again, on=["TF", "Region", "Gene", "eRegulon_name"], suffixes=("", "_again"))
    assert len(both) == len(table)
    for column in ("importance_TF2G", "rho_TF2G", "importance_R2G", "rho_R2G", "triplet_rank"):
        np.testing.assert_allclose(both[f"{column}_again"], both[column], rtol=1e-6)
