"""Contrasts as a user makes them: planted rewiring comes first, what cannot be tested is said, wrong input is named."""

from __future__ import annotations

import inspect
import logging
import runpy
from pathlib import Path

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

import grnformer_sc as grs

REWIRED = 6
stored_rna = runpy.run_path(str(Path(__file__).parents[1] / "_stored.py"))["stored_rna"]


def permuted(rna, genes, rng):
    """Counts in which these genes are shuffled among the drugged cells of every donor and cell type."""
    x = rna.X.toarray()
    for _, cells in rna.obs.reset_index().groupby(["donor", "cell_type"], observed=True):
        own = cells.index[(cells["drug"] == "yes").to_numpy()].to_numpy()
        for gene in genes:
            x[own, gene] = x[rng.permutation(own), gene]
    return sp.csr_matrix(x)


@pytest.fixture(scope="module")
def rewired():
    """Cells of 8 donors, half of them drugged; in drugged cells six targets no longer follow their regulators."""
    mdata = grs.datasets.simulate_multiome(2000, n_genes=120, n_tfs=10, n_types=2, rng=1)
    rna = mdata["rna"]
    grs.tl.build_grn(rna, groupby="cell_type", tfs="is_tf")
    rng = np.random.default_rng(0)
    donor = rng.integers(0, 8, rna.n_obs)
    rna.obs["donor"] = pd.Categorical([f"donor{i}" for i in donor])
    rna.obs["drug"] = pd.Categorical(np.where(donor < 4, "yes", "no"))
    grs.tl.differential_edges(rna, "drug", group="yes", reference="no", within="cell_type")
    links = grs.get.differential_edges(rna)
    strongest = links.groupby("gene", observed=True)["strength_reference"].mean().sort_values(ascending=False)
    rna.uns["rewired"] = list(strongest.index[:REWIRED])
    rna.X = permuted(rna, rna.var_names.get_indexer(rna.uns["rewired"]), rng)
    del rna.uns["grn_differential_edges"]
    return rna


@pytest.fixture
def rna(rewired):
    return rewired.copy()


def edges(data, **options):
    options = {"group": "yes", "reference": "no", "sample_key": "donor", "within": "cell_type"} | options
    grs.tl.differential_edges(data, "drug", **options)
    return grs.get.differential_edges(data)


def test_rewired_links_come_first(rna):
    table = edges(rna)
    for _, links in table.groupby("within", observed=True):
        lost = links["gene"].isin(rna.uns["rewired"]).to_numpy()
        assert lost[:10].all()
        assert (links["fdr"].to_numpy()[:10] <= 0.05).all()
        assert (links["difference"].to_numpy()[:10] < 0).all()
        assert lost[(links["fdr"] <= 0.05).to_numpy()].mean() > 0.9
    assert abs(table.loc[table["gene"].isin(rna.uns["rewired"]), "strength_group"].mean()) < 0.05


def test_without_rewiring_hardly_anything_is_found(rna):
    donor = rna.obs["donor"].cat.codes
    found = []
    for group in ([0, 1, 4, 5], [0, 2, 5, 7], [1, 3, 4, 6]):  # two of either side
        rna.obs["drug"] = np.where(donor.isin(group), "yes", "no")
        table = edges(rna)
        table = table[~table["gene"].isin(rna.uns["rewired"])]
        assert (table["p"] <= 0.05).mean() < 0.12
        found.append((table["fdr"] <= 0.05).sum())
    assert sum(found) <= 2


def test_signs_flip_when_the_conditions_are_swapped(rna):
    names = ["within", "gene", "eregulon"]
    one, other = (
        edges(rna).set_index(names).sort_index(),
        edges(rna, group="no", reference="yes").set_index(names).sort_index(),
    )
    for column in ("difference", "statistic"):
        np.testing.assert_allclose(one[column], -other[column])
    np.testing.assert_allclose(one["p"], other["p"])
    np.testing.assert_allclose(one["on_group"], other["on_reference"])


def test_shares_are_those_of_the_graphs_of_cells(rna):
    table = edges(rna)
    link = table[(table["within"] == "type1") & table["on_group"].between(0.1, 0.9)].iloc[0]
    inside = (rna.obs["drug"] == "yes") & (rna.obs["cell_type"] == "type1")
    graph = grs.get.grn(rna, group="type1")
    holds = ((graph["gene"] == link["gene"]) & (graph["eregulon"] == link["eregulon"])).any()
    place = list(rna.obsm["grn_auc"].columns).index(link["eregulon"])
    on = rna.obsm["grn_active"][:, [place]].toarray().ravel() & holds
    expected = pd.Series(on[inside]).groupby(rna.obs["donor"][inside].astype(str).to_numpy()).mean()
    assert link["on_group"] == pytest.approx(expected.mean())
    cell = rna.obs_names[inside & on][0]
    drawn = grs.get.cell_graph(rna, cell)
    assert ((drawn["gene"] == link["gene"]) & (drawn["eregulon"] == link["eregulon"])).any()


def test_without_moderation_activity_is_compared_by_students_t(rna):
    found = {}
    for moderate in (True, False):
        grs.tl.rank_eregulons(rna, "drug", reference="no", sample_key="donor", moderate=moderate)
        found[moderate] = grs.get.rank_eregulons(rna, group="yes").set_index("eregulon")["p"]
    mean = rna.obsm["grn_auc"].groupby(rna.obs["donor"].to_numpy()).mean()
    drugged = mean.index.isin(rna.obs.loc[rna.obs["drug"] == "yes", "donor"])
    right = stats.ttest_ind(mean[drugged], mean[~drugged]).pvalue
    np.testing.assert_allclose(found[False][mean.columns], right, rtol=1e-4)
    assert (found[True][mean.columns] != found[False][mean.columns]).all()


def test_an_open_file_gives_the_same_bits(rna, tmp_path):
    expected = edges(rna)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    backed = ad.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    with grs.settings.override(chunk_cells=61):
        found = edges(backed)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    grs.tl.rank_eregulons(backed, "drug", reference="no", sample_key="donor")
    assert backed.isbacked


def test_conditions_are_compared_within_cell_types(rna):
    grs.tl.rank_eregulons(rna, "drug", reference="no", sample_key="donor", within="cell_type")
    table = grs.get.rank_eregulons(rna)
    assert table.groupby("within", observed=True).size().tolist() == [rna.obsm["grn_auc"].shape[1]] * 2
    inside = grs.get.rank_eregulons(rna, within="type2").set_index("eregulon").sort_index()
    alone = rna[rna.obs["cell_type"] == "type2"].copy()
    grs.tl.rank_eregulons(alone, "drug", reference="no", sample_key="donor", key_added="alone")
    alone = grs.get.rank_eregulons(alone, key="alone").set_index("eregulon").sort_index()
    np.testing.assert_allclose(inside["p"], alone["p"])
    assert set(grs.get.rank_eregulons(rna, max_fdr=0.3)["fdr"] <= 0.3) <= {True}


def test_cell_types_are_pairs_of_the_same_donor(rna):
    grs.tl.rank_eregulons(rna, "cell_type", sample_key="donor")
    contrasts = rna.uns["grn_rank_eregulons"]["contrasts"]
    assert contrasts["design"].tolist() == ["paired", "paired"]
    assert contrasts["n_samples_group"].tolist() == [8, 8]
    table = grs.get.rank_eregulons(rna, group="type1", max_fdr=0.01)
    means = rna.obsm["grn_auc"][table["eregulon"].astype(str)].groupby(rna.obs["cell_type"].to_numpy()).mean()
    assert len(table)
    assert (np.sign(means.loc["type1"] - means.loc["type2"]).to_numpy() == np.sign(table["difference"])).all()


def test_activity_of_regions_has_a_result_of_its_own():
    cells = stored_rna()
    cells.obs["donor"] = [f"d{i // 12}" for i in range(60)]
    copied = grs.tl.rank_eregulons(cells, "grn_group", sample_key="donor", kind="region", min_cells=3, copy=True)
    assert list(grs.get.params(copied, "grn_rank_eregulons_region")["groups"]) == ["Astro", "L2/3", "Oligo"]
    assert "grn_rank_eregulons_region" not in cells.uns
    regions = grs.get.rank_eregulons(copied, group="L2/3", key="grn_rank_eregulons_region").set_index("eregulon")
    grs.tl.rank_eregulons(cells, "grn_group", sample_key="donor", min_cells=3)
    genes = grs.get.rank_eregulons(cells, group="L2/3").set_index("eregulon").loc[regions.index]
    np.testing.assert_allclose(regions["difference"], genes["difference"] / 2, rtol=1e-4)  # as they are stored


def test_without_replicates_there_is_no_p_and_the_log_says_why(rna, caplog):
    with caplog.at_level(logging.INFO, "grnformer_sc"):
        grs.tl.rank_eregulons(rna, "drug", reference="no")
        edges(rna, sample_key=None, within=None)
    assert "rank_eregulons: no sample_key, so no p-values: cells of one sample are no replicates" in caplog.text
    assert "differential_edges: no sample_key" in caplog.text
    assert "within=None mixes cell types" in caplog.text
    for table in (grs.get.rank_eregulons(rna), grs.get.differential_edges(rna)):
        assert table[["p", "fdr"]].isna().all(axis=None)
        assert table["difference"].notna().any()
        assert (table["n_samples_group"] == 0).all()
    assert grs.get.params(rna, "grn_rank_eregulons")["dropped"] == {"contrasts": 1, "samples": 0}


def test_one_donor_on_a_side_is_said(rna, caplog):
    few = rna[rna.obs["donor"].isin(["donor0", "donor5", "donor6"])].copy()
    with caplog.at_level(logging.INFO, "grnformer_sc"):
        grs.tl.rank_eregulons(few, "drug", reference="no", sample_key="donor", within="cell_type")
    assert "no p-values for [yes in type1, yes in type2]: fewer than two samples on a side" in caplog.text
    assert few.uns["grn_rank_eregulons"]["contrasts"]["reason"].tolist() == ["fewer than two samples on a side"] * 2


def test_a_mudata_is_read_like_its_rna(rna):
    expected = edges(rna)
    mdata = mudata.MuData({"gex": rna.copy()})
    mdata.obs["donor"], mdata.obs["drug"] = rna.obs["donor"], rna.obs["drug"]
    del mdata["gex"].obs["donor"], mdata["gex"].obs["drug"]
    grs.tl.differential_edges(
        mdata, "drug", group="yes", reference="no", sample_key="donor", within="cell_type", rna="gex"
    )
    pd.testing.assert_frame_equal(grs.get.differential_edges(mdata, rna="gex"), expected)


def rank(data, groupby="drug", **options):
    return inspect.unwrap(grs.tl.rank_eregulons)(data, groupby, **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"groupby": "dose"}, KeyError, "groupby='dose' names no column of obs"),
        ({"sample_key": "mouse"}, KeyError, "'mouse' names no column of obs"),
        ({"sample_key": "drug"}, ValueError, r"different columns.*\[drug, drug\].*donors"),
        ({"sample_key": "donor", "within": "donor"}, ValueError, "different columns"),
        ({"sample_key": "barcode"}, ValueError, "2000 samples in 'barcode' with at most 1 such cells.*not of cells"),
        ({"reference": "maybe"}, KeyError, r"unknown \[maybe\]; there are \[no, yes\]"),
        ({"groups": ["perhaps"]}, KeyError, r"unknown \[perhaps\]"),
        ({"reference": "no", "groups": ["no", "yes"]}, ValueError, "its own reference.*'no' in both"),
        ({"groupby": "batch"}, ValueError, r"at least two groups.*\[one\] in 'batch'"),
        ({"groupby": "odd"}, ValueError, "reference='rest' means all other cells.*rename"),
        ({"groupby": "gaps"}, ValueError, "every cell needs a label in 'gaps'"),
        ({"within": "drug2"}, ValueError, "some cell type must have cells of the group and of the reference"),
        ({"kind": "cell"}, ValueError, "kind must be one of"),
        ({"kind": "region"}, KeyError, "grn_auc_region.*with ATAC"),
        ({"key": "other"}, KeyError, r"other_auc.*grs\.tl\.build_grn"),
        ({"min_cells": 0}, ValueError, "min_cells must lie in"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_written(rna, options, error, words):
    rna.obs["barcode"], rna.obs["batch"], rna.obs["drug2"] = rna.obs_names, "one", rna.obs["drug"]
    rna.obs["odd"] = np.where(rna.obs["drug"] == "yes", "rest", "other")
    rna.obs["gaps"] = rna.obs["drug"].cat.remove_categories("no")
    before = set(rna.uns)
    with pytest.raises(error, match=words):
        rank(rna, **options)
    assert set(rna.uns) == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"group": "maybe"}, KeyError, r"unknown \[maybe\]"),
        ({"reference": "rest"}, ValueError, "must be two values.*'rest'"),
        ({"group": "no"}, ValueError, "its own reference"),
        ({"layer": "raw"}, KeyError, "layer 'raw' is missing"),
        ({"layer": "logs"}, ValueError, "must be raw counts"),
        ({"min_cells": 500}, ValueError, "at most .* such cells.*lower min_cells="),
        ({"key": "other"}, KeyError, r"'other'.*grs\.tl\.build_grn"),
    ],
)
def test_wrong_conditions_of_links_are_named(rna, options, error, words):
    rna.layers["logs"] = np.log1p(rna.X)
    with pytest.raises(error, match=words):
        edges(rna, **options)


def test_a_network_without_bits_or_genes_is_named(rna):
    renamed = rna.copy()
    renamed.var_names = [f"x{i}" for i in range(rna.n_vars)]
    with pytest.raises(ValueError, match=r"genes of the network.*none of 120.*harmonize_genes"):
        edges(renamed)
    empty = rna.copy()
    empty.X = sp.csr_matrix(sp.diags((np.arange(rna.n_obs) != 3).astype(np.float32)) @ empty.X)
    with pytest.raises(ValueError, match="every cell needs counts"):
        edges(empty)
    del rna.obsm["grn_active"]
    with pytest.raises(KeyError, match=r"grn_active.*grs\.tl\.cell_grn"):
        edges(rna)


def test_readers_name_what_is_missing(rna):
    with pytest.raises(KeyError, match=r"grs\.tl\.rank_eregulons"):
        grs.get.rank_eregulons(rna)
    with pytest.raises(KeyError, match=r"grs\.tl\.differential_edges"):
        grs.get.differential_edges(rna)
    edges(rna)
    with pytest.raises(KeyError, match=r"tf='no such' is not in the result"):
        grs.get.differential_edges(rna, tf="no such")
    tf = grs.get.differential_edges(rna)["tf"].iloc[0]
    assert set(grs.get.differential_edges(rna, tf=tf, within="type1")["tf"]) == {tf}
