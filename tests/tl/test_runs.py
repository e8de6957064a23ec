"""Repeated runs, batches, presets and evidence of `build_grn`; stopped runs; runs on a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.pooling import cells_of_pool
from grnformer_sc.grn.settings import PRESETS
from grnformer_sc.tl._infer import pools_of
from grnformer_sc.tl._read import gather

RATES = ["fdr", "region_gene_fdr", "tf_gene_fdr"]


def edges_of(data: Any) -> pd.DataFrame:
    return data["rna"].uns["grn"]["edges"]


@pytest.fixture(scope="module")
def built(toy_mdata: Any) -> Any:
    mdata = toy_mdata.copy()
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


class TestRuns:
    """`n_runs`: how often 90 % of the cells give the same link."""

    def test_the_network_is_that_of_all_cells(self, toy: Any, built: Any) -> None:
        grs.tl.build_grn(toy, groupby="cell_type", n_runs=4)
        found = edges_of(toy)
        pd.testing.assert_frame_equal(found.drop(columns="frequency"), edges_of(built).drop(columns="frequency"))
        assert edges_of(built)["frequency"].isna().all()
        assert set(np.round(found["frequency"] * 3)) <= {0, 1, 2, 3}
        assert grs.get.params(toy)["n_runs"] == 4

    def test_frequent_links_are_true_more_often(self, toy: Any) -> None:
        grs.tl.build_grn(toy, groupby="cell_type", n_runs=4)
        found, truth = edges_of(toy), toy["rna"].uns["truth"]
        true = pd.MultiIndex.from_frame(truth[["tf", "gene"]])
        hit = pd.MultiIndex.from_frame(found[["tf", "gene"]].astype(str)).isin(true)
        often = (found["frequency"] == 1).to_numpy()
        assert hit[often].mean() > hit[~often].mean()

    def test_threads_play_no_part(self, toy: Any) -> None:
        options = {"groupby": "cell_type", "n_runs": 3, "n_perm": 2}
        one, two = (grs.tl.build_grn(toy, n_jobs=n, copy=True, **options) for n in (1, 2))
        pd.testing.assert_frame_equal(edges_of(one), edges_of(two), check_exact=True)

    @pytest.mark.parametrize("n_runs", [0, -1])
    def test_the_number_is_checked(self, toy: Any, n_runs: int) -> None:
        with pytest.raises(ValueError, match=r"n_runs must lie in \[1"):
            grs.tl.build_grn(toy, n_runs=n_runs)


class TestRates:
    """`n_perm` and `max_fdr`."""

    def test_without_permutations_there_is_no_rate(self, built: Any) -> None:
        assert edges_of(built)[RATES].isna().all(axis=None)
        assert "fdr" not in grs.get.eregulons(built)

    def test_rates_are_shares_and_the_links_stay(self, toy: Any, built: Any) -> None:
        grs.tl.build_grn(toy, groupby="cell_type", n_perm=2)
        found = edges_of(toy)
        pd.testing.assert_frame_equal(found.drop(columns=RATES), edges_of(built).drop(columns=RATES))
        assert ((found[RATES] > 0) & (found[RATES] <= 1)).all(axis=None)
        order = found.sort_values("score", ascending=False)["fdr"].to_numpy()
        assert (np.diff(order) >= 0).all()  # a better score never has a larger rate

    def test_eregulons_above_the_limit_are_left_out(self, toy: Any) -> None:
        grs.tl.build_grn(toy, groupby="cell_type", n_perm=3, key_added="all")
        rates = toy["rna"].uns["all"]["eregulons"].set_index("name")["fdr"]
        limit = float(rates.min()) + 1e-6  # rates are stored in float32
        assert (rates > limit).any()
        grs.tl.build_grn(toy, groupby="cell_type", n_perm=3, max_fdr=limit)
        assert set(grs.get.eregulons(toy)["name"]) == set(rates.index[rates <= limit])

    def test_an_empty_network_names_the_filter(self, toy: Any) -> None:
        with pytest.raises(ValueError, match=r"edges after each filter: joined: \d+, in eRegulons of fdr <= 0.001: 0"):
            grs.tl.build_grn(toy, groupby="cell_type", n_perm=2, max_fdr=0.001)
        assert "grn" not in toy["rna"].uns

    def test_rna_alone_has_rates_of_its_links(self, toy: Any) -> None:
        rna = toy["rna"]
        grs.tl.build_grn(rna, groupby="cell_type", tfs="is_tf", n_perm=2)
        found = rna.uns["grn"]["edges"]
        assert found["fdr"].between(0, 1).all()
        assert found["region_gene_fdr"].isna().all()

    def test_a_prior_has_rates(self, toy: Any) -> None:
        rna = toy["rna"]
        prior = rna.uns["truth"][["tf", "gene"]].drop_duplicates()
        grs.tl.build_grn(rna, groupby="cell_type", prior=prior, n_perm=2)
        assert rna.uns["grn"]["edges"]["fdr"].between(0, 1).all()

    @pytest.mark.parametrize("options", [{"max_fdr": 0.1}, {"preset": "strict", "n_perm": 0}])
    def test_a_limit_without_permutations_is_an_error(self, toy: Any, options: dict[str, Any]) -> None:
        with pytest.raises(
            ValueError, match=r"max_fdr=0.[12] needs .* Found: n_perm=0. Fix: pass n_perm=10, or max_fdr=1"
        ):
            grs.tl.build_grn(toy, groupby="cell_type", **options)

    def test_the_strict_preset_asks_for_more(self, toy: Any) -> None:
        grs.tl.build_grn(toy, groupby="cell_type", preset="strict", max_fdr=1, n_perm=0)
        assert (edges_of(toy)["support"] >= 3).all()


class TestExtended:
    """Hits by orthology or similarity."""

    @pytest.fixture
    def extended(self, toy: Any) -> Any:
        """A third of the hits is extended."""
        hits = toy["atac"].varm["motifs"].tocsr()
        moved = np.random.default_rng(0).random(hits.nnz) < 1 / 3
        parts = [hits.copy(), hits.copy()]
        for part, keep in zip(parts, (~moved, moved), strict=True):
            part.data *= keep
            part.eliminate_zeros()
        toy["atac"].varm["motifs"], toy["atac"].varm["motifs_extended"] = parts
        return toy

    def test_every_link_says_which_hit_it_rests_on(self, extended: Any, built: Any) -> None:
        grs.tl.build_grn(extended, groupby="cell_type")
        found = edges_of(extended)
        assert set(found["evidence"]) == {"direct", "extended"}
        columns = ["tf", "region", "gene", "eregulon", "motif_score", "score"]
        pd.testing.assert_frame_equal(found[columns], edges_of(built)[columns])

    def test_extended_hits_can_be_left_out(self, extended: Any) -> None:
        grs.tl.build_grn(extended, groupby="cell_type", extended=False)
        assert set(edges_of(extended)["evidence"]) == {"direct"}


class TestBatches:
    """`batch_key`: differences between batches make no link."""

    @pytest.fixture
    def shifted(self, toy: Any) -> Any:
        """A TF and a gene that it does not regulate are both higher in one half of the cells."""
        rng = np.random.default_rng(0)
        batch = rng.permutation(np.repeat(["a", "b"], toy.n_obs // 2))
        toy["rna"].obs["batch"] = pd.Categorical(batch)
        truth = toy["rna"].uns["truth"]
        tf = truth["tf"].iloc[0]
        others = toy["rna"].var_names[~toy["rna"].var["is_tf"]]
        gene = others.difference(truth.loc[truth["tf"] == tf, "gene"])[0]
        counts = toy["rna"].X.toarray()
        at = toy["rna"].var_names.get_indexer([tf, gene])
        depth = counts.sum(axis=1, keepdims=True) / counts.sum(axis=1).mean()
        counts[:, at] = rng.poisson(depth * np.where(batch == "a", 8, 1)[:, None], (toy.n_obs, 2))
        toy["rna"].X = sp.csr_matrix(counts)
        return toy, tf, gene

    def test_a_link_made_by_batches_loses_its_correlation(self, shifted: Any) -> None:
        mdata, tf, gene = shifted
        found = {}
        for key in (None, "batch"):
            rna = mdata["rna"].copy()
            grs.tl.build_grn(rna, tfs="is_tf", batch_key=key)
            edges = rna.uns["grn"]["edges"]
            own = edges[(edges["tf"] == tf) & (edges["gene"] == gene) & (edges["sign"] == 1)]
            found[key] = float(own["tf_gene_rho"].max()) if len(own) else 0.0
        assert found[None] > 0.4
        assert found["batch"] < 0.2

    def test_regions_are_averaged_as_well(self, shifted: Any) -> None:
        mdata, _, _ = shifted
        grs.tl.build_grn(mdata, groupby="cell_type", batch_key="batch", n_perm=1)
        assert len(edges_of(mdata))
        assert grs.get.params(mdata)["batch_key"] == "batch"

    def test_pools_of_shallow_cells_are_as_large_as_their_batch_allows(self, toy: Any) -> None:
        counts = toy["atac"].X
        counts.data = np.random.default_rng(0).binomial(counts.data.astype(int), 0.12).astype(np.float32)
        counts.eliminate_zeros()
        toy["rna"].obs["batch"] = pd.Categorical(np.repeat(["a", "b"], [160, toy.n_obs - 160]))
        read = gather(
            toy, groupby=None, batch_key="batch", rna="rna", atac="atac", layer=None, atac_layer=None, barcodes="exact",
            annotation=None, tfs=None, motifs=None, prior=None, settings=PRESETS["default"],
        )  # fmt: skip
        one = Rows(sp.csr_matrix(np.eye(toy.n_obs, dtype=np.float32)))  # every cell has a column of its own
        read = replace(read, cells=replace(read.cells, accessibility=one))
        embedding = np.random.default_rng(1).normal(size=(toy.n_obs, 2))
        for pools, n in zip(
            pools_of(read, embedding, np.ones(toy.n_obs, dtype=bool), 0), (160, toy.n_obs - 160), strict=True
        ):
            assert set(np.diff(pools.accessibility.tocsr().indptr)) == {cells_of_pool(n, read.depth)}
        assert cells_of_pool(160, read.depth) > cells_of_pool(toy.n_obs - 160, read.depth)

    def test_one_batch_changes_nothing(self, toy: Any, built: Any) -> None:
        toy["rna"].obs["batch"] = pd.Categorical(["x"] * toy.n_obs)
        grs.tl.build_grn(toy, groupby="cell_type", batch_key="batch")
        pd.testing.assert_frame_equal(edges_of(toy), edges_of(built), check_exact=True)

    def test_small_batches_are_named(self, toy: Any) -> None:
        toy["rna"].obs["batch"] = pd.Categorical(["x"] * (toy.n_obs - 3) + ["tiny"] * 3)
        with pytest.raises(
            ValueError, match=r"at least 50 cells. Found: 1 of 2 batches with fewer: \[tiny\]. Fix: merge"
        ):
            grs.tl.build_grn(toy, batch_key="batch")


STOPPED = """
    import os, signal, sys
    import grnformer_sc as grs
    from grnformer_sc._core.checkpoint import Checkpoint

    keep, done = Checkpoint.keep, []

    def killed(self, name, make):
        out = keep(self, name, make)
        done.extend([name] if self.folder else [])
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return out

    Checkpoint.keep = killed
    grs.settings.progress = False
    mdata = grs.datasets.simulate_multiome(240, n_genes=100, n_tfs=10, n_types=3, rng=0)
    grs.tl.build_grn(mdata, groupby="cell_type", n_perm=2, n_jobs=1, resume=sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_run_goes_on_with_the_same_bits(toy: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(STOPPED), str(tmp_path)]
    killed = subprocess.run(command, env={**os.environ, "NUMBA_NUM_THREADS": "1"}, check=False)  # noqa: S603
    assert killed.returncode == -signal.SIGKILL
    kept = sorted(path.name for path in tmp_path.glob("*.npy"))
    assert len(kept) == 3
    options = {"groupby": "cell_type", "n_perm": 2}
    resumed = grs.tl.build_grn(toy, resume=tmp_path, copy=True, **options)
    assert set(kept) < {path.name for path in tmp_path.glob("*.npy")}
    grs.tl.build_grn(toy, **options)
    pd.testing.assert_frame_equal(edges_of(resumed), edges_of(toy), check_exact=True)


def test_resume_keeps_parts_in_the_cache(toy: Any, tmp_path: Path) -> None:
    with grs.settings.override(cache_dir=tmp_path):
        grs.tl.build_grn(toy["rna"], tfs="is_tf", resume=True)
    assert list((tmp_path / "build_grn").glob("tf_gene-*.npy"))


@pytest.mark.filterwarnings("ignore")  # dask's own
def test_a_dask_cluster_gives_the_same_bits(toy: Any, built: Any) -> None:
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    import joblib

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        grs.tl.build_grn(toy, groupby="cell_type")
    pd.testing.assert_frame_equal(edges_of(toy), edges_of(built), check_exact=True)
