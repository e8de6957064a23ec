"""The preset `scenicplus` against the outputs of that program, on planted cells and on the mouse cortex."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.eregulons import Links, motif_eregulons
from grnformer_sc.grn.region_gene import parse_regions, search_space
from grnformer_sc.grn.settings import PRESETS

PRESET = PRESETS["scenicplus"]
TRIPLET = ["TF", "region", "gene", "tf2g_sign", "r2g_sign"]
WORD = {1: "+", -1: "-"}


class Stored(NamedTuple):
    """Names, adjacencies (tables of the original program) and TF -> region hits."""

    genes: pd.Index
    regions: pd.Index
    tfs: pd.Index
    region_gene: pd.DataFrame
    tf_gene: pd.DataFrame
    motifs: sp.csr_matrix


def load(folder: Path, name: str) -> Stored:
    region_gene, tf_gene = (np.load(folder / f"{name}_{kind}.npz") for kind in ("region_to_gene", "tf_to_gene"))
    if name == "planted":
        planted = np.load(folder / "planted_input.npz")
        genes, regions = pd.Index(planted["gene_names"]), pd.Index(planted["region_names"])
        tfs = genes[: int(planted["n_tf"])]
        motifs = sp.csr_matrix(np.unpackbits(planted["motif"], axis=0, count=int(planted["motif_shape"][0])))
    else:
        genes, regions = pd.Index(region_gene["gene_names"]), pd.Index(region_gene["region_names"])
        hits = np.load(folder / "cortex_cistromes_from_celloracle.npz")
        tfs = pd.Index(hits["tf"])
        values = np.ones(hits["region_index"].size), hits["region_index"], hits["indptr"]
        motifs = sp.csc_matrix(values, shape=tuple(hits["shape"])).tocsr()
    links = pd.DataFrame({k: region_gene[k] for k in ("distance", "importance", "rho_spearman")})
    links["gene"] = genes.get_indexer(region_gene["gene_names"][region_gene["gene"]])
    links["region"] = regions.get_indexer(region_gene["region_names"][region_gene["region"]])
    regulators = pd.DataFrame({k: tf_gene[k] for k in ("tf", "gene", "importance", "rho_pearson")})
    regulators["tf"] = tfs.get_indexer(genes[regulators["tf"]])
    links = links.sort_values(["gene", "region"], ignore_index=True)
    return Stored(genes, regions, tfs, links, regulators, motifs.astype(bool))


def arguments(stored: Stored) -> tuple[Any, ...]:
    """What `motif_eregulons` takes."""
    importance, rho = np.zeros((2, stored.tfs.size, stored.genes.size))
    links, regulators = stored.region_gene, stored.tf_gene
    importance[regulators["tf"], regulators["gene"]] = regulators["importance"]
    rho[regulators["tf"], regulators["gene"]] = regulators["rho_pearson"]
    scored = Links(links["region"].to_numpy(), links["gene"].to_numpy(), links["importance"].to_numpy())
    return scored, links["rho_spearman"].to_numpy(), stored.motifs, importance, rho, PRESET.eregulons


def positions(stored: Stored, golden: Path, data: Path, name: str) -> pd.DataFrame:
    """Gene positions in the order of the genes; `chrom` is empty where there is none."""
    if name == "planted":
        planted = np.load(golden / "planted_input.npz")
        columns = {key: planted[f"gene_{key}"] for key in ("chrom", "start", "end")}
        return pd.DataFrame({**columns, "strand": "+"})
    bed = pd.read_csv(data / "regulatory_resources" / "mm10_genes_simba.bed.gz", sep="\t", header=None)
    bed.columns = ["chrom", "start", "end", "gene", "strand"]
    known = np.load(golden / "cortex_input_extra.npz")["chrom"]
    table = bed[bed["chrom"].isin(known)].drop_duplicates("gene").set_index("gene").reindex(stored.genes)
    return table.fillna({"chrom": "", "start": 0, "end": 0, "strand": "+"}).astype({"start": int, "end": int})


@pytest.mark.golden
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["planted", "cortex"])
def test_the_search_space_is_identical(golden_dir: Path, data_dir: Path, name: str) -> None:
    folder = golden_dir / "scenicplus"
    stored = load(folder, name)
    genes = positions(stored, folder, data_dir, name).reset_index(drop=True)
    pairs = search_space(genes, parse_regions(stored.regions), window=PRESET.window, anchor=PRESET.anchor)
    found = pairs.sort_values(["gene", "region"], ignore_index=True)
    pd.testing.assert_frame_equal(found[["gene", "region"]], stored.region_gene[["gene", "region"]])
    np.testing.assert_array_equal(found["distance"], -stored.region_gene["distance"])  # ours is negative upstream


@pytest.mark.golden
@pytest.mark.parametrize(("name", "n_rows"), [("planted", 5283), ("cortex", 1172)])
def test_eregulons_are_identical_with_the_rules_that_support_them(golden_dir: Path, name: str, n_rows: int) -> None:
    """The random p-value filter of the original is off (it does not reproduce itself); everything else is its default."""
    stored = load(golden_dir / "scenicplus", name)
    made = motif_eregulons(*arguments(stored))
    rows = zip(made.tf, made.region, made.gene, made.sign, made.region_sign, made.support, strict=True)
    ours = {
        (stored.tfs[tf], stored.regions[region], stored.genes[gene], WORD[sign], WORD[open_]): support
        for tf, region, gene, sign, open_, support in rows
    }
    table = pd.read_csv(golden_dir / "scenicplus" / f"{name}_cli_nofilter_eregulons.csv.gz")
    support = table["thresholds"].str.count(r"\|") + 1
    assert len(table) == n_rows
    assert ours == dict(zip(table[TRIPLET].itertuples(index=False, name=None), support, strict=True))
