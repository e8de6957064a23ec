"""Motif evidence from a small cisTarget database, from files to a network."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc.priors import _cistarget

made = runpy.run_path(str(Path(__file__).parents[1] / "_cistarget.py"))
write_annotation, sets_of_truth = made["write_annotation"], made["sets_of_truth"]
DIRECT = "gene is directly annotated"
ORTHOLOGY = "gene is orthologous to x in M. musculus (identity = 90%) which is directly annotated for motif"
LOOSE = {"auc_threshold": 0.05, "rank_threshold": 0.1}  # motifs of the simulation hit 8 % of the regions


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Cells with a planted network, a database of their motifs, and sets of regions; never changed."""
    mdata = grs.datasets.simulate_multiome(600, n_genes=140, n_tfs=12, n_types=3, rng=21)
    files = made["write_database"](tmp_path_factory.mktemp("database"), mdata["atac"])
    return mdata, files, sets_of_truth(mdata)


@pytest.fixture(scope="module")
def found(world):
    mdata, files, sets = world
    out = mdata.copy()
    grs.pp.read_cistarget(out, files["rankings"], annotations=files["annotations"], region_sets=sets, **LOOSE)
    return out


def stored(data):
    atac = data["atac"]
    return {name: atac.varm[name] for name in ("motifs", "motifs_extended")}, atac.uns["motifs"]


def test_slots_and_scores(world, found):
    mdata = world[0]
    hits, about = stored(found)
    for matrix in hits.values():
        assert isinstance(matrix, sp.csr_matrix)
        assert matrix.dtype == np.float32
        assert matrix.shape == (mdata["atac"].n_vars, about["tfs"].size)
    assert hits["motifs_extended"].nnz == 0
    assert hits["motifs"].nnz > 100
    assert hits["motifs"].data.min() >= 1 - 1e-6  # -log10 of a rank in the best tenth
    assert about["source"] == "cistarget"
    assert about["params"]["auc_threshold"] == 0.05
    assert about["params"]["dropped"]["tfs_not_in_genes"] == 0
    assert about["params"]["inputs"]["rankings"] == "toy.regions_vs_motifs.rankings.feather"


def test_the_motif_of_the_tf_is_found_in_the_regions_it_binds(found):
    table = grs.get.motif_enrichment(found)
    own = table[table["motif"] == "m_" + table["region_set"]]
    assert own["region_set"].nunique() >= 10  # of 12
    assert (own["tfs_direct"] == own["region_set"]).all()
    assert table.sort_values("nes").groupby("region_set")["motif"].last().str.startswith("m_").mean() > 0.8


def test_the_network_built_from_it_is_the_planted_one(found):
    data = found.copy()
    grs.tl.build_grn(data, groupby="cell_type")
    grs.pp.link_regions(data)
    rna, pairs = data["rna"], data["atac"].uns["region_gene"]
    truth = rna.uns["truth"].merge(pairs[["region", "gene"]], on=["region", "gene"])
    n_tfs = int(rna.var["is_tf"].sum())
    universes = {("tf", "gene"): (n_tfs * (rna.n_vars - 1), 2), ("tf", "region", "gene"): (n_tfs * len(pairs), 50)}
    for on, (universe, floor) in universes.items():
        got = grs.metrics.link_recovery(rna.uns["grn"]["edges"], truth, on=on, universe=universe)
        assert got["aupr"] > floor * got["random"], on


def test_scores_find_the_same_motifs_and_join_with_ranks(world, found):
    mdata, files, sets = world
    options = {"annotations": files["annotations"], "region_sets": sets, "min_log2fc": 0.5, "min_score": None, **LOOSE}
    by_score = grs.pp.read_cistarget(mdata, scores=files["scores"], copy=True, **options)
    table = grs.get.motif_enrichment(by_score)
    assert set(table["method"]) == {"dem"}
    own = table[table["motif"] == "m_" + table["region_set"]]
    assert own["region_set"].nunique() >= 8
    assert (table["fdr"] <= 0.05).all()
    assert (table["log2fc"] >= 0.5).all()
    both = grs.pp.read_cistarget(mdata, files["rankings"], scores=files["scores"], copy=True, **options)
    dense = [
        pd.DataFrame(stored(x)[0]["motifs"].toarray(), columns=stored(x)[1]["tfs"]) for x in (found, by_score, both)
    ]
    one, two = (part.reindex(columns=dense[2].columns, fill_value=0) for part in dense[:2])
    np.testing.assert_array_equal(dense[2], np.maximum(one, two))


def test_the_background_is_drawn_by_seed(world):
    mdata, files, sets = world
    options = {"annotations": files["annotations"], "region_sets": sets, "scores": files["scores"], "min_log2fc": 0.5}
    tables = [
        grs.get.motif_enrichment(grs.pp.read_cistarget(mdata, copy=True, max_background=60, rng=rng, **options))
        for rng in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


def test_neither_the_order_of_columns_nor_of_regions_nor_of_sets_matters(world, found, tmp_path):
    mdata, files, sets = world
    rng = np.random.default_rng(0)
    frame = pd.read_feather(files["rankings"])
    frame = frame[rng.permutation(frame.columns)].iloc[rng.permutation(len(frame))]
    frame.reset_index(drop=True).to_feather(tmp_path / "mixed.feather")
    atac = mdata["atac"][:, rng.permutation(mdata["atac"].n_vars)].copy()
    turned = dict(reversed([(name, regions[::-1]) for name, regions in sets.items()]))
    grs.pp.read_cistarget(
        atac, tmp_path / "mixed.feather", annotations=files["annotations"], region_sets=turned, **LOOSE
    )
    pd.testing.assert_frame_equal(grs.get.motif_enrichment(atac), grs.get.motif_enrichment(found))
    before, after = found["atac"], atac[:, found["atac"].var_names]
    assert (before.varm["motifs"] != after.varm["motifs"]).nnz == 0


def test_a_database_of_motif_columns_gives_the_same(world, found, tmp_path):
    mdata, files, sets = world
    turned = pd.read_feather(files["rankings"]).set_index("motifs").T.rename_axis("regions").reset_index()
    turned.to_feather(tmp_path / "turned.feather")
    data = mdata["atac"].copy()
    grs.pp.read_cistarget(
        data, tmp_path / "turned.feather", annotations=files["annotations"], region_sets=sets, **LOOSE
    )
    pd.testing.assert_frame_equal(grs.get.motif_enrichment(data), grs.get.motif_enrichment(found))


def test_only_regions_of_the_sets_are_read(world, monkeypatch):
    mdata, files, sets = world
    read = []
    batches = _cistarget._batches

    def watched(arrow, path, columns):
        for batch in batches(arrow, path, columns):
            read.extend(batch.schema.names)
            yield batch

    monkeypatch.setattr(_cistarget, "_batches", watched)
    few = {"TF01": sets["TF01"]}
    grs.pp.read_cistarget(
        mdata, files["rankings"], annotations=files["annotations"], region_sets=few, copy=True, min_nes=0, **LOOSE
    )
    assert set(read) - {"motifs"} == {made["shifted"](name) for name in few["TF01"]}


def test_extended_evidence_stands_apart(world, tmp_path):
    mdata, files, sets = world
    tfs = np.asarray(mdata["atac"].uns["motifs"]["tfs"])
    path = write_annotation(tmp_path / "x.tbl", "m_" + tfs, tfs, np.where(tfs < "TF05", DIRECT, ORTHOLOGY))
    options = {"region_sets": sets, "annotations": path, **LOOSE}
    data = grs.pp.read_cistarget(mdata, files["rankings"], copy=True, **options)
    hits, about = stored(data)
    direct, other = (np.asarray((hits[name] > 0).sum(axis=0)).ravel() > 0 for name in ("motifs", "motifs_extended"))
    assert (direct == (about["tfs"] < "TF05")).all()
    assert (other == (about["tfs"] >= "TF05")).all()
    alone = grs.pp.read_cistarget(mdata, files["rankings"], copy=True, extended=(), **options)
    assert (alone["atac"].uns["motifs"]["tfs"] < "TF05").all()
    assert (grs.get.motif_enrichment(alone)["tfs_extended"] == "").all()


def test_a_hit_with_both_kinds_of_evidence_is_direct(world, tmp_path):
    mdata, files, sets = world
    twice = write_annotation(tmp_path / "x.tbl", ["m_TF01", "m_TF02", "m_TF02"], ["TF01", "TF01", "TF02"],
                             [DIRECT, ORTHOLOGY, DIRECT])  # fmt: skip
    data = grs.pp.read_cistarget(mdata, files["rankings"], annotations=twice, region_sets=sets, copy=True, **LOOSE)
    hits, _ = stored(data)
    assert hits["motifs_extended"].nnz > 0
    assert hits["motifs"].multiply(hits["motifs_extended"]).nnz == 0


def test_sets_from_differential_accessibility(world, tmp_path):
    """A motif made to score best in the open regions of one type is enriched in the set of that type."""
    mdata, files, _ = world
    grs.pp.differential_regions(data := mdata.copy(), "cell_type")
    table = data["atac"].uns["differential_regions"]
    open_in = {made["shifted"](r) for r in table.loc[table["group"] == "type2", "region"]}
    frame = pd.read_feather(files["rankings"])
    names = frame.columns.drop("motifs")
    row = frame.index[frame["motifs"] == "m_TF03"][0]
    order = np.lexsort((np.random.default_rng(0).random(names.size), ~names.isin(open_in)))
    frame.loc[row, names[order]] = np.arange(names.size, dtype=np.int32)
    frame.to_feather(tmp_path / "x.feather")
    options = {"annotations": files["annotations"], **LOOSE}
    by_group = grs.pp.read_cistarget(mdata, tmp_path / "x.feather", groupby="cell_type", copy=True, **options)
    found = grs.get.motif_enrichment(by_group, region_set="type2")
    assert found["motif"].iloc[0] == "m_TF03"
    assert found["n_hits"].iloc[0] == len(open_in)
    grs.pp.read_cistarget(data, tmp_path / "x.feather", **options)  # the table that is there already
    pd.testing.assert_frame_equal(grs.get.motif_enrichment(data), grs.get.motif_enrichment(by_group))
    pd.testing.assert_frame_equal(by_group["atac"].uns["differential_regions"], table)


def test_sets_from_bed_files_stand_for_the_regions_they_overlap(world, found, tmp_path):
    mdata, files, sets = world
    for name, regions in sets.items():
        parts = [made["shifted"](region).replace("-", ":").split(":") for region in regions]
        folder = tmp_path / "beds"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.bed").write_text("track name=x\n# note\n" + "".join("\t".join(p) + "\t.\n" for p in parts))
    (tmp_path / "beds" / "none.bed").write_text("chr9\t5\t9\n")
    options = {"annotations": files["annotations"], "copy": True, **LOOSE}
    beds = sorted((tmp_path / "beds").glob("TF*.bed"))
    for given in (tmp_path / "beds", beds, {path.stem: path for path in beds}):
        data = grs.pp.read_cistarget(mdata, files["rankings"], region_sets=given, **options)
        pd.testing.assert_frame_equal(grs.get.motif_enrichment(data), grs.get.motif_enrichment(found))


def test_the_spelling_of_the_genes_is_kept(world):
    mdata, files, sets = world
    data = mdata.copy()
    data["rna"].var_names = data["rna"].var_names.str.capitalize()
    grs.pp.read_cistarget(data, files["rankings"], annotations=files["annotations"], region_sets=sets, **LOOSE)
    assert set(stored(data)[1]["tfs"]) <= set(data["rna"].var_names)


def other_names(files, folder, rename):
    frame = pd.read_feather(files["rankings"])
    path = folder / "other.feather"
    frame.rename(columns={name: rename(name) for name in frame.columns if name != "motifs"}).to_feather(path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rankings": lambda f, d: other_names(f, d, lambda n: n.removeprefix("chr"))}, "overlap.*same genome build"),
        ({"rankings": lambda f, d: other_names(f, d, lambda n: f"Gene{n.replace(':', '').replace('-', '')}")}, "not that of genes"),
        ({"rankings": lambda f, d: f["scores"]}, "must hold rankings"),
        ({"scores": lambda f, d: f["rankings"]}, "must hold scores"),
        ({"annotations": lambda f, d: write_annotation(d / "x.tbl", ["m_TF01"], ["Abcd1"])}, "annotated to a gene of the data"),
        ({"annotations": lambda f, d: write_annotation(d / "x.tbl", ["other__1"], ["TF01"])}, "same motif collection"),
        ({"annotations": lambda f, d: write_annotation(d / "x.tbl", ["decoy3"], ["TF01"])}, "enriched motif must be annotated"),
        ({"region_sets": lambda f, d: None}, "sets of regions are needed"),
        ({"region_sets": lambda f, d: {"x": ["chr99:100-600"]}}, "share regions with the data"),
        ({"region_sets": lambda f, d: d}, "holds BED files"),
        ({"groupby": lambda f, d: "cell_type"}, "not both"),
        ({"min_nes": lambda f, d: 99}, "must be enriched"),
        ({"auc_threshold": lambda f, d: 0.5}, "auc_threshold must lie"),
        ({"extended": lambda f, d: "motif"}, "extended must be one of"),
        ({"rankings": lambda f, d: None}, "neither rankings= nor scores="),
    ],
)  # fmt: skip
def test_errors_name_the_cause_and_change_nothing(world, tmp_path, change, message):
    mdata, files, sets = world
    data = mdata.copy()
    options = {"rankings": files["rankings"], "annotations": files["annotations"], "region_sets": sets, **LOOSE}
    options |= {name: make(files, tmp_path) for name, make in change.items()}
    with pytest.raises(ValueError, match=message):
        grs.pp.read_cistarget(data, **options)
    assert "motifs_extended" not in data["atac"].varm
    assert "enriched" not in data["atac"].uns["motifs"]


def test_small_sets_are_left_out_with_a_log_line(world, caplog):
    mdata, files, sets = world
    few = {"TF01": sets["TF01"], "tiny": sets["TF01"][:4]}
    options = {"annotations": files["annotations"], "copy": True, **LOOSE}
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        data = grs.pp.read_cistarget(mdata, files["rankings"], region_sets=few, **options)
    assert "left out: ['tiny (4)']" in caplog.text
    assert "enriched motifs" in caplog.text
    assert set(grs.get.motif_enrichment(data)["region_set"]) == {"TF01"}
    with pytest.raises(ValueError, match="needs 10 regions"):
        grs.pp.read_cistarget(mdata, files["rankings"], region_sets={"tiny": few["tiny"]}, **options)


def test_a_database_of_another_build_is_suspected(world, tmp_path, caplog):
    """With a third of the regions in the database the result is not an error, but a warning."""
    mdata, files, sets = world
    names = list(mdata["atac"].var_names)
    kept = {made["shifted"](name) for name in names[: len(names) // 3]}
    path = other_names(files, tmp_path, lambda n: n if n in kept or "Other" in n else "chrAway" + n.removeprefix("chr"))
    with caplog.at_level(logging.WARNING, logger="grnformer_sc"):
        grs.pp.read_cistarget(
            mdata, path, annotations=files["annotations"], region_sets=sets, copy=True, min_nes=1, **LOOSE
        )
    assert "is it of the same genome build?" in caplog.text


def test_enrichment_is_read_by_set(found):
    table = grs.get.motif_enrichment(found)
    part = grs.get.motif_enrichment(found, region_set="TF01")
    pd.testing.assert_frame_equal(part, table[table["region_set"] == "TF01"])
    with pytest.raises(KeyError, match="no enriched motif"):
        grs.get.motif_enrichment(found, region_set="nothing")
    plain = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)
    with pytest.raises(KeyError, match="read_cistarget first"):
        grs.get.motif_enrichment(plain)
