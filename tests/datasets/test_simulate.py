"""The simulator: same seed same bytes, a truth that the data carry, and slow twins of its two computations."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit
from scipy.stats import kstest

import grnformer_sc as grs
from grnformer_sc.datasets import _layout, _regulation, _sequence


@pytest.fixture(scope="module")
def big():
    return grs.datasets.simulate_multiome(1500, n_genes=300, n_tfs=20, n_types=4, rng=1)


def log_expression(adata):
    x = adata.X.toarray()
    return np.log1p(x / x.sum(axis=1, keepdims=True) * 1000)


def correlation(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a.T @ b) / np.outer(np.linalg.norm(a, axis=0), np.maximum(np.linalg.norm(b, axis=0), 1e-9))


def test_same_seed_same_bytes_and_another_seed_other_data():
    def make(seed):
        return grs.datasets.simulate_multiome(60, n_genes=40, n_tfs=5, n_types=2, rng=seed)

    a, b, c = make(3), make(3), make(4)
    for name in ("rna", "atac"):
        for part in ("data", "indices", "indptr"):
            assert getattr(a[name].X, part).tobytes() == getattr(b[name].X, part).tobytes()
        pd.testing.assert_frame_equal(a[name].var, b[name].var)
        pd.testing.assert_frame_equal(a[name].obs, b[name].obs)
    pd.testing.assert_frame_equal(a["rna"].uns["truth"], b["rna"].uns["truth"])
    assert (a["atac"].varm["motifs"] != b["atac"].varm["motifs"]).nnz == 0
    assert (a["rna"].X != c["rna"].X).nnz > 0
    assert grs.datasets.simulated_genome(a) == grs.datasets.simulated_genome(b)


def test_slots_hold_raw_counts_and_survive_h5mu(tmp_path, toy):
    for name in ("rna", "atac"):
        x = toy[name].X
        assert isinstance(x, sp.csr_matrix)
        assert x.dtype == np.float32
        assert (x.data == np.rint(x.data)).all()
        assert (x.data > 0).all()
        assert toy[name].obs["cell_type"].cat.categories.tolist() == ["type1", "type2", "type3"]
    assert toy["rna"].var["is_tf"].sum() == 10
    assert toy["atac"].varm["motifs"].shape == (toy["atac"].n_vars, 10)
    toy.write(tmp_path / "toy.h5mu")
    back = mudata.read_h5mu(tmp_path / "toy.h5mu")
    assert back["rna"].uns["truth"].equals(toy["rna"].uns["truth"])
    assert grs.datasets.simulated_genome(back) == grs.datasets.simulated_genome(toy)


def test_genome_holds_the_region_sequences(toy):
    genome = grs.datasets.simulated_genome(toy)
    assert set("".join(genome.values())) == set("ACGT")
    for name, row in toy["atac"].var.iterrows():
        assert name == f"{row.chrom}:{row.start}-{row.end}"
        assert genome[row.chrom][row.start : row.end] == row.sequence
    gene = toy["rna"].var
    assert (gene["end"] <= gene["chrom"].map(len_of(genome))).all()


def len_of(genome):
    return {name: len(text) for name, text in genome.items()}


def test_truth_names_exist_and_enhancers_are_near_their_gene(big):
    truth, genes = big["rna"].uns["truth"], big["rna"].var
    assert genes.loc[truth["tf"], "is_tf"].all()
    assert not genes.loc[truth["gene"], "is_tf"].any()
    assert set(truth["sign"]) == {1, -1}
    assert set(truth["logic"]) == {"single", "and", "or"}
    regions = big["atac"].var.loc[truth["region"]]
    home = genes.loc[truth["gene"]]
    tss = np.where(home["strand"] == "+", home["start"], home["end"])
    assert (regions["chrom"].to_numpy() == home["chrom"].to_numpy()).all()
    middle = (regions["start"] + regions["end"]).to_numpy() / 2
    assert (np.abs(middle - tss) <= _layout.FARTHEST + _layout.STEP).all()
    assert truth["gene"].nunique() < (~genes["is_tf"]).sum()  # some genes have no enhancer


def test_distances_follow_the_contact_decay():
    rng = np.random.default_rng(0)
    size = np.abs(_layout._distances(rng.random(5000), rng))
    power = 1 - _layout.DECAY
    low, high = _layout.NEAREST**power, _layout.FARTHEST**power
    assert kstest(size, lambda d: (d**power - low) / (high - low)).pvalue > 0.01


def test_signs_show_in_the_latent_activity(big):
    truth, rna = big["rna"].uns["truth"], big["rna"]
    r = correlation(rna.obsm["truth_activity"].to_numpy(), log_expression(rna))
    values = r[rna.var_names.get_indexer(truth["tf"]), rna.var_names.get_indexer(truth["gene"])]
    assert values[truth["sign"] > 0].mean() > 0.08
    assert values[truth["sign"] < 0].mean() < -0.08


def test_activity_is_partly_decoupled_from_mrna_and_better_than_it(big):
    rna = big["rna"]
    x, activity = log_expression(rna), rna.obsm["truth_activity"].to_numpy()
    n_tfs = activity.shape[1]
    own = np.diag(correlation(x[:, :n_tfs], activity))
    assert 0.2 < own.mean() < 0.8
    truth = rna.uns["truth"]

    def recovery(source):
        r = np.abs(correlation(source, x))[:, n_tfs:]
        table = pd.DataFrame(r, index=rna.var_names[:n_tfs], columns=rna.var_names[n_tfs:])
        long = table.rename_axis("tf").reset_index().melt("tf", var_name="gene", value_name="score")
        return grs.metrics.link_recovery(long, truth, universe=long)

    by_activity, by_mrna = recovery(activity), recovery(x[:, :n_tfs])
    assert by_activity["aupr"] > by_mrna["aupr"] > 2 * by_mrna["random"]


def test_planted_sites_are_found_among_hits_by_chance(big):
    truth, atac = big["rna"].uns["truth"], big["atac"]
    tfs = pd.Index(atac.uns["motifs"]["tfs"])
    hits = atac.varm["motifs"] > 0
    found = np.asarray(hits[atac.var_names.get_indexer(truth["region"]), tfs.get_indexer(truth["tf"])]).mean()
    assert 0.7 < found < 0.97
    assert 0.02 < hits.nnz / np.prod(hits.shape) < 0.12


def test_scan_equals_a_slow_twin(toy):
    atac = toy["atac"]
    motifs = atac.uns["motifs"]["pwm"]
    text = atac.var["sequence"].iloc[:3].tolist()
    points = np.rint(np.log2(motifs / 0.25) * 50)
    pair = {"A": "T", "C": "G", "G": "C", "T": "A"}
    for region, sequence in enumerate(text):
        other = "".join(pair[base] for base in reversed(sequence))
        for tf in range(len(motifs)):
            best = max(
                sum(points[tf, k, "ACGT".index(strand[i + k])] for k in range(10))
                for strand in (sequence, other)
                for i in range(len(sequence) - 9)
            )
            cut = _sequence._threshold(points[tf].astype(np.int64))
            want = best / 50 if best >= cut else 0.0
            assert atac.varm["motifs"][region, tf] == pytest.approx(want, abs=1e-5)


def targets_of(regulated, hubs):
    """Share of the genes with an enhancer, and of the sites of every TF, largest first."""
    layout = _layout.lay_out_genome(2000, 40, regulated, np.random.default_rng(5))
    plan = _regulation.draw_regulation(layout, 40, 1, hubs, np.random.default_rng(5))
    return layout.links["gene"].nunique() / 1960, plan.sites["tf"].value_counts(normalize=True).to_numpy()


def test_shares_of_regulated_genes_and_of_hubs_are_those_asked_for():
    regulated, share = targets_of(0.4, 1.0)
    assert regulated == pytest.approx(0.4, abs=0.04)
    expected = 1 / np.arange(1, 41)
    np.testing.assert_allclose(share[:5], (expected / expected.sum())[:5], rtol=0.2)
    regulated, share = targets_of(0.8, 0.0)
    assert regulated == pytest.approx(0.8, abs=0.04)
    np.testing.assert_allclose(share, 1 / 40, rtol=0.3)


def test_genes_may_all_be_without_a_regulator():
    mdata = grs.datasets.simulate_multiome(30, n_genes=40, n_tfs=5, n_types=2, regulated=0.0, rng=0)
    assert mdata["rna"].uns["truth"].empty
    assert mdata["rna"].shape == (30, 40)


def test_threshold_has_its_p_value_in_all_sequences():
    points = np.rint(np.log2(_sequence.draw_motifs(1, np.random.default_rng(0))[0] / 0.25) * 50).astype(np.int64)
    scores = np.zeros(1, dtype=np.int64)
    for position in points:
        scores = (scores[:, None] + position[None, :]).ravel()  # all 4 ** 10 sequences
    cut = _sequence._threshold(points)
    assert (scores >= cut).mean() <= _sequence.P_VALUE
    assert (scores >= scores[scores < cut].max()).mean() > _sequence.P_VALUE


def test_regulation_equals_a_slow_twin():
    rng = np.random.default_rng(5)
    layout = _layout.lay_out_genome(30, 6, 0.8, rng)
    plan = _regulation.draw_regulation(layout, 6, 2, 0.0, rng)
    activity, opened = rng.normal(size=(4, 6)), rng.random((4, len(layout.regions)))
    got = _regulation._regulate(activity, opened, layout, plan)
    for gene in range(30):
        own = layout.links[layout.links["gene"] == gene]
        for cell in range(4):
            x = 0.0
            for link, region in zip(own.index, own["region"], strict=True):
                sites = plan.sites[plan.sites["region"] == region]
                hill = {
                    i: expit(plan.slope[i] * (activity[cell, plan.sites["tf"][i]] - plan.middle[i]))
                    for i in sites.index
                }
                on = [hill[i] for i in sites.index if sites["sign"][i] > 0]
                joint = np.prod(on) if sites["both"].iloc[0] else 1 - np.prod([1 - h for h in on])
                block = np.prod([1 - hill[i] for i in sites.index if sites["sign"][i] < 0])
                x += plan.strength[link] * opened[cell, region] * (joint if on else 1.0) * block
            want = 0.05 + 1.6 * x / (0.35 + x) if len(own) else 0.5
            assert got[cell, gene] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"n_cells": 5, "n_types": 3}, "every type needs 2 cells"),
        ({"n_tfs": 1}, "n_tfs must lie"),
        ({"n_genes": 40, "n_tfs": 40}, "n_genes must lie"),
        ({"n_types": 0}, "n_types must lie"),
        ({"regulated": 1.2}, "regulated must lie"),
        ({"hubs": -1.0}, "hubs must lie"),
    ],
)
def test_bad_sizes_are_named(sizes, match):
    with pytest.raises(ValueError, match=match):
        grs.datasets.simulate_multiome(**sizes)


def test_genome_of_other_data_is_an_error(toy):
    del toy["atac"].uns["genome"]
    with pytest.raises(KeyError, match="simulate_multiome"):
        grs.datasets.simulated_genome(toy)


def test_a_knocked_out_tf_has_no_counts_and_moves_its_true_targets_only():
    options = {"n_genes": 120, "n_tfs": 8, "n_types": 2, "rng": 2}
    control = grs.datasets.simulate_multiome(1500, **options)["rna"]
    truth = control.uns["truth"]
    tf = truth["tf"].value_counts().idxmax()
    lost = grs.datasets.simulate_multiome(1500, **options, knockout=tf)["rna"]
    assert lost[:, tf].X.nnz == 0
    pd.testing.assert_frame_equal(lost.obs, control.obs)
    pd.testing.assert_frame_equal(lost.uns["truth"], truth)
    others = control.obsm["truth_activity"].columns.drop(tf)
    pd.testing.assert_frame_equal(lost.obsm["truth_activity"][others], control.obsm["truth_activity"][others])
    rate = np.log1p(lost.X.mean(axis=0).A1) - np.log1p(control.X.mean(axis=0).A1)
    own = truth[truth["tf"] == tf].groupby("gene")["sign"].agg(["min", "max"])
    alike = own[own["min"] == own["max"]]["min"]
    moved = pd.Series(rate, index=control.var_names)
    clear = moved[alike.index].abs() > 0.1
    assert clear.sum() >= 8
    assert (np.sign(moved[alike.index]) == -alike)[clear].mean() > 0.9
    rest = moved.drop([tf, *own.index])
    assert rest.abs().median() < 0.05 < moved[own.index].abs().median()


def test_only_tfs_can_be_knocked_out():
    with pytest.raises(ValueError, match=r"knockout must name TFs: \[TF01, TF02\].*\[G0001\]"):
        grs.datasets.simulate_multiome(40, n_genes=20, n_tfs=2, n_types=2, knockout=["TF01", "G0001"])
