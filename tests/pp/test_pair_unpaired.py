"""Unpaired RNA and ATAC: metacells inside shared labels, counts and labels kept, links still found."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import grnformer_sc as grs


@pytest.fixture
def parts(toy):
    """RNA and ATAC of different cells."""
    chosen = np.random.default_rng(0).permutation(toy.n_obs)
    rna, atac = toy["rna"][chosen[:120]].copy(), toy["atac"][chosen[120:]].copy()
    rna.obs["donor"] = np.where(rna.obs["cell_type"] == "type1", "a", "b")
    return rna, atac


@pytest.mark.parametrize("method", ["labels", "ot"])
def test_counts_cells_and_labels_are_kept(parts, method):
    pairs = grs.pp.pair_unpaired(*parts, groupby="cell_type", method=method, n_metacells=18)
    assert pairs["rna"].obs_names.equals(pairs["atac"].obs_names)
    assert (pairs["rna"].obs["cell_type"] == pairs["atac"].obs["cell_type"]).all()
    assert (pairs["atac"].varm["motifs"] != parts[1].varm["motifs"]).nnz == 0
    for key, before in zip(("rna", "atac"), parts, strict=True):
        after, cell = pairs[key], pairs[key].uns["metacells"]["metacell"]
        np.testing.assert_array_equal(np.asarray(after.X.sum(axis=0)), np.asarray(before.X.sum(axis=0)))
        for i in range(after.n_obs):
            np.testing.assert_array_equal(after.X[i].toarray()[0], np.asarray(before.X[cell == i].sum(axis=0)).ravel())
        np.testing.assert_array_equal(after.obs["n_cells"], np.bincount(cell))
        labels = before.obs["cell_type"].astype(str).to_numpy()
        assert (after.obs["cell_type"].astype(str).to_numpy()[cell] == labels).all()
    assert (pairs["rna"].obs["donor"] == np.where(pairs["rna"].obs["cell_type"] == "type1", "a", "b")).all()


@pytest.mark.parametrize("method", ["labels", "ot"])
def test_the_order_of_cells_plays_no_part(parts, method):
    rna, atac = parts
    first = grs.pp.pair_unpaired(rna, atac, groupby="cell_type", method=method, n_metacells=18)
    turned = grs.pp.pair_unpaired(
        rna[::-1].copy(), atac[::-1].copy(), groupby="cell_type", method=method, n_metacells=18
    )
    for key in ("rna", "atac"):
        assert (first[key].X != turned[key].X).nnz == 0


def test_only_the_seed_changes_random_pairs(parts):
    made = [grs.pp.pair_unpaired(*parts, groupby="cell_type", n_metacells=18, rng=seed)["atac"].X for seed in (0, 0, 1)]
    assert (made[0] != made[1]).nnz == 0
    assert (made[0] != made[2]).nnz > 0


def test_labels_of_one_side_are_left_out_and_counted(parts):
    rna, atac = parts
    atac = atac[(atac.obs["cell_type"] != "type1").to_numpy()].copy()
    pairs = grs.pp.pair_unpaired(rna, atac, groupby="cell_type", n_metacells=10)
    n_lost = int((rna.obs["cell_type"] == "type1").sum())
    assert pairs["rna"].uns["metacells"]["params"]["dropped"] == {"rna_cells": n_lost, "atac_cells": 0}
    assert pairs["rna"].obs["n_cells"].sum() == rna.n_obs - n_lost


def test_no_shared_label_lists_both(parts):
    rna, atac = parts
    atac.obs["cell_type"] = "other"
    with pytest.raises(ValueError, match=r"share labels.*type1.*other"):
        grs.pp.pair_unpaired(rna, atac, groupby="cell_type")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"groupby": "nothing"}, KeyError, "names no column"),
        ({"groupby": "cell_type", "n_metacells": 1}, ValueError, "n_metacells lies"),
        ({"groupby": "cell_type", "n_metacells": 1000}, ValueError, "n_metacells lies"),
        ({"groupby": "cell_type", "method": "nearest"}, ValueError, "method"),
    ],
)
def test_wrong_options_are_named(parts, options, error, text):
    with pytest.raises(error, match=text):
        grs.pp.pair_unpaired(*parts, **options)


def test_paired_cells_are_pointed_out(toy, caplog):
    atac = toy["atac"].copy()
    with caplog.at_level(logging.INFO):
        grs.pp.pair_unpaired(toy["rna"], atac, groupby="cell_type", n_metacells=12)
    assert "look paired (equal barcodes)" in caplog.text
    caplog.clear()
    stem = ["".join("ACGT"[(i >> 2 * k) & 3] for k in range(8)) for i in range(toy.n_obs)]
    rna = toy["rna"].copy()
    rna.obs_names, atac.obs_names = [f"{s}-1" for s in stem], [f"x#{s}" for s in stem]
    with caplog.at_level(logging.INFO):
        grs.pp.pair_unpaired(rna, atac, groupby="cell_type", n_metacells=12)
    assert "barcodes='stem'" in caplog.text


def along_a_path(seed, n=300, n_genes=60):
    """One label along a hidden path; every gene follows the accessibility of its own region."""
    rng = np.random.default_rng(seed)
    start = 1_000_000 * (1 + np.arange(n_genes))
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 5000, "strand": "+"})
    var.index = [f"gene{i}" for i in range(n_genes)]
    regions = pd.DataFrame(index=[f"chr1:{i}-{i + 500}" for i in start])
    slope, made, paths = rng.normal(0, 1, n_genes), [], []
    for table, prefix in ((var, "r"), (regions, "a")):
        path = rng.normal(0, 1, n)
        counts = sp.csr_matrix(rng.poisson(3 * np.exp(np.outer(path, slope) - slope**2 / 2)), dtype=np.float32)
        obs = pd.DataFrame({"label": "one"}, index=[f"{prefix}{i}" for i in range(n)])
        made.append(AnnData(counts, obs=obs, var=table))
        paths.append(path)
    return made, paths


@pytest.mark.parametrize("seed", [1, 2])
def test_transport_finds_the_order_inside_a_label_and_random_pairs_do_not(seed):
    made, paths = along_a_path(seed)
    found = {}
    for method in ("labels", "ot"):
        pairs = grs.pp.pair_unpaired(*made, groupby="label", method=method, n_metacells=30)
        cell = [pairs[key].uns["metacells"]["metacell"] for key in ("rna", "atac")]
        mean = [np.bincount(c, weights=p) / np.bincount(c) for c, p in zip(cell, paths, strict=True)]
        found[method] = np.corrcoef(*mean)[0, 1]
    assert found["ot"] > 0.9
    assert abs(found["labels"]) < 0.6
