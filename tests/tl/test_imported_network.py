"""A network of any origin scores cells: `cell_grn(net=<table or file>, thresholds="fit")`."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def built(toy_mdata):
    mdata = toy_mdata.copy()
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


@pytest.fixture
def fresh(toy_mdata):
    return toy_mdata.copy()


def regulons(mdata, names, size=12):
    """Gene sets in GMT by chosen names, one per TF."""
    genes = mdata["rna"].var_names
    sets = [(name, *genes[12 + 7 * i : 12 + 7 * i + size]) for i, name in enumerate(names)]
    return "".join("\t".join([name, "x", *members]) + "\n" for name, *members in sets)


@pytest.mark.parametrize("form", ["table", "edges.csv", "eregulons.tsv"])
def test_an_exported_network_gives_the_same_bits_back(built, fresh, tmp_path, form):
    edges = built["rna"].uns["grn"]["edges"]
    net = edges if form == "table" else tmp_path / form
    if form == "edges.csv":
        edges.to_csv(net, index=False)
    if form == "eregulons.tsv":
        grs.get.write_network(built, net)
    grs.tl.cell_grn(fresh, net=net, thresholds="fit", groupby="cell_type")
    for key in ("grn_active", "grn_active_region"):
        assert (fresh["rna"].obsm[key] != built["rna"].obsm[key]).nnz == 0
    pd.testing.assert_frame_equal(fresh["rna"].obsm["grn_auc"], built["rna"].obsm["grn_auc"])
    for group in ("type1", "type2", "type3"):
        ours, again = (set(grs.get.grn(m, group=group)["gene"].astype(str)) for m in (built, fresh))
        assert ours == again
    assert fresh["rna"].uns["grn"]["params"]["method"] == "imported"


def test_regions_are_matched_by_coordinates(built, fresh, tmp_path):
    grs.get.write_network(built, tmp_path / "net.tsv")
    atac = fresh["atac"].copy()
    atac.var_names = atac.var_names.str.replace(r"(.+):(\d+)-(\d+)", r"\1_\2_\3", regex=True)
    rna = fresh["rna"].copy()
    grs.tl.cell_grn((rna, atac), net=tmp_path / "net.tsv", thresholds="fit", groupby="cell_type")
    assert (rna.obsm["grn_active_region"] != built["rna"].obsm["grn_active_region"]).nnz == 0
    assert set(rna.uns["grn"]["edges"]["region"].astype(str)) <= set(atac.var_names)


def test_gene_sets_score_like_aucell(fresh, tmp_path):
    rna = fresh["rna"]
    (tmp_path / "sets.gmt").write_text(regulons(fresh, [f"{rna.var_names[0]}(+)", f"{rna.var_names[1]}(-)"]))
    grs.tl.cell_grn(rna, net=tmp_path / "sets.gmt", thresholds="fit", groupby="cell_type")
    edges = rna.uns["grn"]["edges"].astype({"eregulon": str, "gene": str})
    sets = {name: list(part["gene"]) for name, part in edges.groupby("eregulon")}
    grs.tl.aucell(rna, sets, key_added="sets")
    pd.testing.assert_frame_equal(rna.obsm["grn_auc"], rna.obsm["sets"], check_names=False)
    assert rna.obsm["grn_auc"].columns.str.contains("rep").sum() == 1


def test_a_tf_that_is_not_measured_does_not_switch_its_regulon_off(fresh, tmp_path, caplog):
    """Its detection cannot be judged; the last gene of the data has nothing to do with it."""
    rna = fresh["rna"]
    first, last = sorted(rna.var_names)[0], sorted(rna.var_names)[-1]
    rna.X = rna.X.multiply(rna.var_names != last).tocsr()
    text = regulons(fresh, [f"{first}(+)", "UNSEEN(+)"])
    (tmp_path / "sets.gmt").write_text(text.replace(f"\t{last}", ""))
    with caplog.at_level("INFO"):
        grs.tl.cell_grn(rna, net=tmp_path / "sets.gmt", thresholds="fit", groupby="cell_type")
    assert "the TFs of 1 eRegulons are not measured" in caplog.text
    groups = grs.get.groups(rna)
    unseen = groups[groups["eregulon"] == "UNSEEN|act"]
    np.testing.assert_array_equal(unseen["kept"], unseen["active_fraction"] >= 0.1)
    assert unseen["kept"].any()


def test_scored_cells_survive_a_file(fresh, tmp_path):
    rna = fresh["rna"]
    (tmp_path / "sets.gmt").write_text(regulons(fresh, ["A/B(+)", f"{rna.var_names[1]}_(-)"]))
    grs.tl.cell_grn(rna, net=str(tmp_path / "sets.gmt"), thresholds="fit")
    rna.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.io.read_h5ad(tmp_path / "cells.h5ad")
    pd.testing.assert_frame_equal(grs.get.grn(back), grs.get.grn(rna))
    assert set(grs.get.eregulons(back)["tf"]) == {"A/B", rna.var_names[1]}
    assert grs.get.params(back)["source"].endswith("sets.gmt")


def test_links_alone_ask_for_fitted_thresholds(built, fresh):
    with pytest.raises(ValueError, match=r"hold no thresholds.*thresholds='fit'"):
        grs.tl.cell_grn(fresh, net=built["rna"].uns["grn"]["edges"], groupby="cell_type")


def test_another_species_is_an_error(fresh):
    net = pd.DataFrame({"source": "SOX9", "target": [f"GENE{i}" for i in range(20)]})
    with pytest.raises(ValueError, match=r"network's genes must be in the data.*0 of 20"):
        grs.tl.cell_grn(fresh, net=net, thresholds="fit", groupby="cell_type")


def test_another_set_of_peaks_is_an_error(built, fresh):
    table = grs.get.network(built, format="scenicplus")
    table["Region"] = table["Region"].str.replace("chr", "chr9")
    with pytest.raises(ValueError, match=r"must name regions of the data.*pass the RNA alone"):
        grs.tl.cell_grn(fresh, net=table, thresholds="fit", groupby="cell_type")
    assert "grn" not in fresh["rna"].uns
    grs.tl.cell_grn(fresh["rna"], net=table, thresholds="fit", groupby="cell_type")
    assert "grn_active_region" not in fresh["rna"].obsm
