"""build_grn: every slot, the same bits, recovery of planted links, and named errors that leave the data untouched."""

from __future__ import annotations

import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS


@pytest.fixture(scope="module")
def built(toy_mdata):
    """Toy multiome with its network; never changed."""
    mdata = toy_mdata.copy()
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


def assert_same_network(a: AnnData, b: AnnData) -> None:
    """Bitwise equal tables, bits and graphs."""
    for name in ("edges", "eregulons", "groups"):
        pd.testing.assert_frame_equal(a.uns["grn"][name], b.uns["grn"][name], check_exact=True)
    pd.testing.assert_frame_equal(a.obsm["grn_auc"], b.obsm["grn_auc"], check_exact=True)
    for key in ("grn_active", "grn_active_region"):
        assert (a.obsm[key] != b.obsm[key]).nnz == 0
    assert (a.obsp["grn_connectivities"] != b.obsp["grn_connectivities"]).nnz == 0


class TestSlots:
    """What is written, and that the parts agree."""

    def test_edges_follow_the_schema_and_the_evidence(self, built):
        edges = built["rna"].uns["grn"]["edges"]
        assert list(edges.columns) == list(EDGE_COLUMNS)
        assert set(edges["evidence"]) == {"direct"}
        assert edges["score"].between(0, 1).all()
        assert (edges["motif_score"] > 0).all()
        assert (np.sign(edges["tf_gene_rho"]) == edges["sign"]).all()
        assert (edges["region_gene_rho"] > 0.05).all()
        assert (edges["support"] >= 2).all()

    def test_bits_are_auc_above_threshold_in_types_that_keep_the_eregulon(self, built):
        rna = built["rna"]
        table = rna.uns["grn"]["eregulons"]
        kept = rna.uns["grn"]["groups"].set_index(["group", "eregulon"])["kept"].unstack()  # noqa: PD010  (one row per pair)
        kept = kept.loc[rna.obs["grn_group"].astype(str), table["name"]].to_numpy(dtype=bool)
        for kind, suffix in (("", ""), ("_region", "_region")):
            above = rna.obsm[f"grn_auc{kind}"].to_numpy() > table[f"threshold{suffix}"].to_numpy()
            np.testing.assert_array_equal(rna.obsm[f"grn_active{kind}"].toarray(), above & kept)

    def test_weights_are_the_signed_largest_importances(self, built):
        rna = built["rna"]
        edges = rna.uns["grn"]["edges"]
        best = edges.assign(w=edges["tf_gene_importance"]).groupby(["tf", "gene"], observed=True)["w"].max()
        matrix = rna.varp["grn"]
        assert matrix.nnz == len(best)
        for (tf, gene), weight in list(best.items())[:50]:
            found = matrix[rna.var_names.get_loc(tf), rna.var_names.get_loc(gene)]
            assert abs(found) == pytest.approx(weight)

    def test_the_recipe_names_what_was_done(self, built):
        params = grs.get.params(built)
        assert params["method"] == "eregulon"
        assert params["evidence"] == "motifs"
        assert len(params["rng_root"]) == 32
        assert "grnformer-sc" in params["versions"]
        assert {"genes_without_position", "regions_far_from_genes"} <= set(params["dropped"])

    def test_scanpy_uses_the_graph_of_cells_without_a_pca(self, built):
        import scanpy as sc

        rna = built["rna"].copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy's and numba's own
            sc.tl.umap(rna, neighbors_key="grn_cells")
            sc.tl.leiden(rna, neighbors_key="grn_cells", flavor="igraph", n_iterations=2)
        assert rna.obsm["X_umap"].shape == (rna.n_obs, 2)
        assert len(set(rna.obs["leiden"])) > 1
        assert "X_pca" not in rna.obsm

    def test_another_key_leaves_the_first_network_alone(self, built):
        mdata = built.copy()
        grs.tl.build_grn(mdata, key_added="second", tfs="is_tf")
        assert mdata["rna"].obs["second_group"].unique().tolist() == ["all"]
        assert_same_network(mdata["rna"], built["rna"])


class TestSameBits:
    """Seeds, threads and orders."""

    def test_threads_and_repeats(self, toy, built):
        grs.tl.build_grn(toy, groupby="cell_type", n_jobs=1)
        assert_same_network(toy["rna"], built["rna"])

    def test_order_of_genes_and_regions(self, toy, built):
        rng = np.random.default_rng(0)
        rna, atac = toy["rna"], toy["atac"]
        pair = (rna[:, rng.permutation(rna.n_vars)].copy(), atac[:, rng.permutation(atac.n_vars)].copy())
        grs.tl.build_grn(pair, groupby="cell_type")
        assert_same_network(pair[0], built["rna"])

    def test_another_seed_gives_another_network(self, toy, built):
        grs.tl.build_grn(toy, groupby="cell_type", rng=np.random.default_rng(5))
        assert not toy["rna"].uns["grn"]["edges"].equals(built["rna"].uns["grn"]["edges"])

    @pytest.mark.parametrize("kind", [sp.csc_matrix, np.asarray])
    def test_storage_of_the_counts(self, toy, built, kind):
        for part in (toy["rna"], toy["atac"]):
            part.X = kind(part.X.toarray())
        grs.tl.build_grn(toy, groupby="cell_type")
        assert_same_network(toy["rna"], built["rna"])

    def test_counts_in_a_layer(self, toy, built):
        for part in (toy["rna"], toy["atac"]):
            part.layers["counts"] = part.X.copy()
            part.X = part.X * 0.5
        grs.tl.build_grn(toy, groupby="cell_type", layer="counts", atac_layer="counts")
        assert_same_network(toy["rna"], built["rna"])


class TestInput:
    """What is in the object and what is not."""

    def test_marks_of_variable_genes_leave_out_nothing(self, toy, built):
        """No TF and no target is lost where `highly_variable` is set; take the genes out to leave them out."""
        rna = toy["rna"]
        rna.var["highly_variable"] = np.arange(rna.n_vars) % 5 == 0
        grs.tl.build_grn(toy, groupby="cell_type")
        assert_same_network(rna, built["rna"])

    def test_networks_of_types_differ_as_the_types_do(self, toy):
        """One type under two labels has nearly one network, another type has another one."""
        rna = toy["rna"]
        labels = rna.obs["cell_type"].astype(str).to_numpy()
        of_first = np.flatnonzero(labels == "type1")
        labels[np.random.default_rng(0).permutation(of_first)[::2]] = "type1 again"
        rna.obs["label"] = labels
        grs.tl.build_grn(toy, groupby="label")
        first, again, other = (set(grs.get.grn(rna, group=name).index) for name in ("type1", "type1 again", "type2"))
        assert len(first & again) / len(first | again) > 2 * len(first & other) / len(first | other)


class TestEvidence:
    """Motifs, prior, neither; with and without ATAC."""

    def test_planted_links_are_recovered(self, built):
        """Average precision far above chance at all three levels."""
        rna = built["rna"]
        truth, edges = rna.uns["truth"], rna.uns["grn"]["edges"]
        n_tfs, n_pairs = int(rna.var["is_tf"].sum()), 40 * rna.n_vars
        tf_gene = grs.metrics.link_recovery(edges, truth, universe=n_tfs * (rna.n_vars - 1))
        triplet = grs.metrics.link_recovery(edges, truth, on=("tf", "region", "gene"), universe=n_tfs * n_pairs)
        assert tf_gene["aupr"] > 1.5 * tf_gene["random"]
        assert triplet["aupr"] > 4 * triplet["random"]

    def test_without_evidence_regions_come_from_their_genes(self, toy):
        grs.tl.build_grn((toy["rna"], _without_motifs(toy["atac"])), groupby="cell_type", tfs="is_tf")
        edges = toy["rna"].uns["grn"]["edges"]
        assert set(edges["evidence"]) == {"none"}
        regions = edges.groupby(["gene", "tf"], observed=True)["region"].apply(frozenset)
        assert regions.groupby("gene", observed=True).nunique().max() == 1

    def test_rna_alone_has_no_regions(self, toy):
        rna = toy["rna"]
        grs.tl.build_grn(rna, groupby="cell_type", tfs=[f"TF{i:02d}" for i in range(1, 11)])
        edges = rna.uns["grn"]["edges"]
        assert (edges["region"].astype(str) == "").all()
        assert edges["region_gene_importance"].isna().all()
        assert (edges["region_sign"] == 0).all()
        assert all(name.count("|") == 1 for name in edges["eregulon"].astype(str))
        assert "grn_auc_region" not in rna.obsm

    def test_a_prior_limits_the_links(self, toy):
        rna = toy["rna"]
        prior = rna.uns["truth"][["tf", "gene"]].drop_duplicates()
        grs.tl.build_grn(rna, groupby="cell_type", prior=prior)
        links = rna.uns["grn"]["edges"][["tf", "gene"]].astype(str)
        assert set(links.itertuples(index=False, name=None)) <= set(
            prior.astype(str).itertuples(index=False, name=None)
        )
        assert set(rna.uns["grn"]["edges"]["evidence"]) == {"prior"}

    def test_motifs_as_a_table_equal_those_of_the_slot(self, toy, built):
        atac = toy["atac"]
        table = pd.DataFrame(atac.varm["motifs"].toarray(), index=atac.var_names, columns=atac.uns["motifs"]["tfs"])
        grs.tl.build_grn((toy["rna"], _without_motifs(atac)), groupby="cell_type", motifs=table.iloc[::-1])
        assert_same_network(toy["rna"], built["rna"])

    def test_positions_from_an_annotation(self, toy, built):
        rna = toy["rna"]
        table = rna.var[["chrom", "start", "end", "strand"]].copy()
        rna.var = rna.var[["is_tf"]]
        grs.tl.build_grn(toy, groupby="cell_type", annotation=table)
        assert_same_network(rna, built["rna"])

    def test_copy_leaves_the_input_alone(self, toy):
        made = grs.tl.build_grn(toy, groupby="cell_type", copy=True)
        assert "grn" in made["rna"].uns
        assert "grn" not in toy["rna"].uns


def _without_motifs(atac: AnnData) -> AnnData:
    out = atac.copy()
    del out.varm["motifs"], out.uns["motifs"]
    return out


def _replace(mdata, rna=None, atac=None):
    return (rna if rna is not None else mdata["rna"], atac if atac is not None else mdata["atac"])


def _scaled(m):
    rna = m["rna"].copy()
    rna.X = rna.X.toarray() - 1.0
    return _replace(m, rna)


def _normalised(m):
    rna = m["rna"].copy()
    rna.X = rna.X * 0.37
    return _replace(m, rna)


def _with_nan(m):
    rna = m["rna"].copy()
    rna.X.data[3] = np.nan
    return _replace(m, rna)


def _repeated_gene(m):
    rna = m["rna"].copy()
    names = rna.var_names.to_numpy().copy()
    names[1] = names[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rna.var_names = names
    return _replace(m, rna)


def _empty_gene(m):
    rna = m["rna"].copy()
    rna.var_names = ["", *rna.var_names[1:]]
    return _replace(m, rna)


def _empty_cell(m):
    rna = m["rna"].copy()
    x = rna.X.tolil()
    x[2] = 0
    rna.X = x.tocsr()
    return _replace(m, rna)


def _other_chromosomes(m):
    atac = m["atac"].copy()
    atac.var_names = atac.var_names.str.replace("chr", "", regex=False)
    return _replace(m, atac=atac)


def _other_build(m):
    atac = m["atac"].copy()
    parts = atac.var_names.str.extract(r"(.+):(\d+)-(\d+)")
    atac.var_names = [f"{c}:{int(s) + 900_000_000}-{int(e) + 900_000_000}" for c, s, e in parts.itertuples(index=False)]
    return _replace(m, atac=atac)


def _bad_region_names(m):
    atac = m["atac"].copy()
    atac.var_names = [f"peak{i}" for i in range(atac.n_vars)]
    return _replace(m, atac=atac)


def _other_species(m):
    rna = m["rna"].copy()
    rna.var = rna.var[["is_tf"]]
    return _replace(m, rna)


def _suffixes(m):
    atac = m["atac"].copy()
    stems = _barcodes(atac.n_obs)
    rna = m["rna"].copy()
    rna.obs_names, atac.obs_names = [f"{s}-1" for s in stems], [f"{s}_atac" for s in stems]
    return _replace(m, rna, atac)


def _barcodes(n: int) -> list[str]:
    letters = np.array(list("ACGT"))
    return ["".join(letters[(np.arange(8) * 0 + i) // 4 ** np.arange(8) % 4]) for i in range(n)]


def _no_cells(m):
    return _replace(m, m["rna"][:0].copy(), m["atac"][:0].copy())


def _other_cells(m):
    atac = m["atac"].copy()
    atac.obs_names = [f"other{i}" for i in range(atac.n_obs)]
    return _replace(m, atac=atac)


def _log(m):
    rna = m["rna"].copy()
    rna.X = np.log1p(rna.X.toarray())
    return _replace(m, rna)


def _ensembl(m):
    rna = m["rna"].copy()
    rna.var_names = [f"ENSG{i:011d}" for i in range(rna.n_vars)]
    return _replace(m, rna)


def _alike_tfs(m):
    rna, atac = m["rna"].copy(), m["atac"].copy()
    names = {"TF01": "A/B", "TF02": "A_B"}
    rna.var_names = rna.var_names.map(lambda name: names.get(name, name))
    atac.uns["motifs"]["tfs"] = np.array([names.get(tf, tf) for tf in atac.uns["motifs"]["tfs"]], dtype=object)
    return _replace(m, rna, atac)


def _no_hits(m):
    atac = m["atac"].copy()
    atac.varm["motifs"] = sp.csr_matrix(atac.varm["motifs"].shape)
    return _replace(m, atac=atac)


ANNOTATION = pd.DataFrame(
    {"chrom": ["chr1"] * 3, "start": [1, 2, 3], "end": [5, 6, 7], "strand": ["+"] * 3}, index=["GAD1", "SST", "VIP"]
)
BAD = {
    "scaled values": (_scaled, {}, "must not be negative"),
    "normalised values": (_normalised, {}, "raw counts"),
    "log-normalised values": (_log, {}, "for example layer='counts'"),
    "NaN": (_with_nan, {}, "finite"),
    "no cells": (_no_cells, {}, "at least 10 cells"),
    "cells of another experiment": (_other_cells, {}, "0 shared barcodes"),
    "Ensembl ids": (_ensembl, {}, "at least one TF of the motifs must be a gene"),
    "TFs that only / tells apart": (_alike_tfs, {}, "1 repeated: [A_B]"),
    "motifs without a hit": (_no_hits, {}, "edges after each filter: joined: 0"),
    "motif scores": (
        _replace,
        {"motifs": pd.DataFrame({"TF01": [np.nan]}, index=["chr1:1-2"])},
        "motif scores must be finite",
    ),
    "repeated gene names": (_repeated_gene, {}, "must be unique"),
    "empty gene names": (_empty_gene, {}, "must not be empty"),
    "cells without counts": (_empty_cell, {}, "all-zero cells"),
    "chromosome naming": (_other_chromosomes, {}, "chr1 against 1"),
    "genome build": (_other_build, {}, "genome build"),
    "region names": (_bad_region_names, {}, "chrom:start-end"),
    "species of the annotation": (_other_species, {"annotation": ANNOTATION}, "need a position"),
    "no positions": (_other_species, {}, "annotation="),
    "barcode suffixes": (_suffixes, {}, "barcodes='stem'"),
    "group column": (_replace, {"groupby": "nothing"}, "names no column"),
    "method": (_replace, {"method": "magic"}, "method must be one of"),
    "preset": (_replace, {"preset": "magic"}, "preset must be one of"),
    "layer": (_replace, {"layer": "counts"}, "layer 'counts' is missing"),
    "TF column or file": (_replace, {"tfs": "no_such"}, "neither a column"),
    "TF names": (_replace, {"tfs": ["Sox2"]}, "must be a TF"),
    "motifs and prior": (_replace, {"motifs": ANNOTATION, "prior": ANNOTATION}, "not both"),
    "motif type": (_replace, {"motifs": [1, 2]}, "DataFrame or AnnData"),
    "motif regions": (_replace, {"motifs": pd.DataFrame({"TF01": [1.0]}, index=["x:1-2"])}, "cover at least"),
    "n_jobs": (_replace, {"n_jobs": 0}, "n_jobs is a positive number"),
    "rng": (_replace, {"rng": "seed"}, "rng must be"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_named_and_nothing_is_written(toy, case):
    spoil, options, text = BAD[case]
    data = spoil(toy)
    slots = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "layers")
    before = [{slot: set(getattr(part, slot).keys()) for slot in slots} for part in data]
    with pytest.raises((ValueError, KeyError, TypeError)) as caught:
        grs.tl.build_grn(data, **{"groupby": "cell_type", **options})
    assert text in str(caught.value)
    assert "Fix:" in str(caught.value)
    for part, old in zip(data, before, strict=True):
        assert {slot: set(getattr(part, slot).keys()) for slot in slots} == old


def test_suffixes_are_mended_on_request(toy, built):
    rna, atac = _suffixes(toy)
    grs.tl.build_grn((rna, atac[::-1].copy()), groupby="cell_type", barcodes="stem")
    expected = built["rna"].uns["grn"]["edges"]
    pd.testing.assert_frame_equal(rna.uns["grn"]["edges"], expected, check_exact=True)


def test_an_empty_result_says_which_filter_emptied_it(toy):
    few = toy["rna"].var["is_tf"].to_numpy() | (np.arange(toy["rna"].n_vars) < 2)
    rna = toy["rna"][:, few].copy()
    rna = rna[np.asarray(rna.X.sum(axis=1)).ravel() > 0].copy()
    with pytest.raises(ValueError, match=r"at least one eRegulon.*TF-gene pairs"):
        grs.tl.build_grn(rna, tfs="is_tf")


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_a_mudata_survives_the_disk(built, tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    with mudata.set_options(pull_on_update=False):
        if suffix == "h5mu":
            built.write_h5mu(path)
            back = mudata.read_h5mu(path)
        else:
            built.write_zarr(path)
            back = mudata.read_zarr(path)
    assert_same_network(back["rna"], built["rna"])


class TestPresets:
    def test_scenicplus_is_permissive_and_signed(self, toy, built):
        grs.tl.build_grn(toy, groupby="cell_type", preset="scenicplus", key_added="scenicplus")
        uns = toy["rna"].uns["scenicplus"]
        assert set(uns["edges"]["region_sign"]) == {-1, 1}
        assert uns["edges"]["support"].min() == 1
        assert len(uns["edges"]) > len(built["rna"].uns["grn"]["edges"])
        assert uns["params"]["window"] == 150_000
        assert uns["params"]["norm"] == "pyscenic"
        itself = uns["edges"]["tf"].astype(str) == uns["edges"]["gene"].astype(str)
        assert itself.any()
        again = toy["rna"].copy()
        grs.tl.cell_grn(again, key_added="scenicplus")
        np.testing.assert_array_equal(again.obsm["scenicplus_auc"], toy["rna"].obsm["scenicplus_auc"])

    def test_a_setting_of_a_preset_can_be_changed(self, toy, built):
        grs.tl.build_grn(toy, groupby="cell_type", basc=True, norm="pyscenic")
        links = ["tf", "region", "gene", "sign"]
        before, after = (m["rna"].uns["grn"]["edges"].astype(dict.fromkeys(links[:3], str)) for m in (built, toy))
        both = before.merge(after, on=links, suffixes=("", "_with_basc"))
        assert len(both) == len(before) <= len(after)
        assert (both["support_with_basc"] >= both["support"]).all()
        near = toy.copy()
        grs.tl.build_grn(near, groupby="cell_type", window=50_000)
        assert near["rna"].uns["grn"]["params"]["window"] == 50_000
        assert not near["rna"].uns["grn"]["edges"].equals(built["rna"].uns["grn"]["edges"])

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ({"preset": "x"}, "preset must be one of"), ({"basc": "x"}, "basc must be one of"),
            ({"norm": "x"}, "norm must be one of"), ({"window": -5}, "window must lie in"),
            ({"window": 0}, "at least"),
        ],
    )  # fmt: skip
    def test_unknown_settings_are_named(self, toy, option, text):
        with pytest.raises(ValueError, match=text):
            grs.tl.build_grn(toy, **option)


def test_a_stopped_run_goes_on_with_the_same_bits(toy, built, tmp_path, monkeypatch):
    """Interrupted after some blocks of region -> gene; the second run computes the others only."""
    import grnformer_sc.grn.region_gene as module

    done = []
    original = module.boost_block

    def counted(*args, **kwargs):
        done.append(args)
        if len(done) == 3 and stop:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "boost_block", counted)
    monkeypatch.setattr(
        module, "blocks_of", lambda work: [(a, min(a + 10, work.size)) for a in range(0, work.size, 10)]
    )
    stop = True
    with pytest.raises(KeyboardInterrupt):
        grs.tl.build_grn(toy, groupby="cell_type", resume=tmp_path, n_jobs=1)
    assert "grn" not in toy["rna"].uns
    stop = False
    grs.tl.build_grn(toy, groupby="cell_type", resume=tmp_path, n_jobs=1)
    assert len(done) == 3 + (toy["rna"].n_vars // 10 - 2)
    assert_same_network(toy["rna"], built["rna"])
