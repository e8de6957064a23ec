"""Profiles of perturbations: means, differences and errors as a loop over cells gives them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs


def cells(n=200, n_genes=12, *, seed=0):
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "guide": rng.choice(["control", "A", "B", "rare"], n, p=[0.4, 0.3, 0.28, 0.02]),
            "line": rng.choice(["x", "y"], n),
        },
        index=[f"c{i}" for i in range(n)],
    )
    counts = rng.poisson(3.0, (n, n_genes)).astype(np.float32)
    counts[obs["guide"] == "A", 3] *= 4
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))


def test_profiles_equal_a_loop():
    data = cells()
    with grs.settings.override(chunk_cells=37):
        found = grs.pp.perturbation_profiles(data, "guide", context_key="line", min_cells=8)
    counts = data.X.toarray()
    x = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    assert sorted(found.obs_names) == ["A in x", "A in y", "B in x", "B in y"]
    for i, (guide, line) in enumerate(zip(found.obs["perturbation"], found.obs["context"], strict=True)):
        own = x[(data.obs["guide"] == guide) & (data.obs["line"] == line)]
        base = x[(data.obs["guide"] == "control") & (data.obs["line"] == line)]
        np.testing.assert_allclose(found.X[i], own.mean(axis=0) - base.mean(axis=0), atol=1e-5)
        error = np.sqrt(own.var(axis=0, ddof=1) / len(own) + base.var(axis=0, ddof=1) / len(base))
        np.testing.assert_allclose(found.layers["se"][i], error, rtol=1e-4)
        assert found.obs["n_cells"].iloc[i] == len(own)
    change = found.to_df().loc[["A in x", "A in y"]]
    assert (change.abs().idxmax(axis=1) == "g3").all()
    assert found.uns["perturbation_profiles"]["params"]["min_cells"] == 8


def test_the_order_of_cells_does_not_matter():
    data = cells()
    order = np.random.default_rng(1).permutation(data.n_obs)
    one, other = (grs.pp.perturbation_profiles(x, "guide") for x in (data, data[order].copy()))
    assert list(one.obs_names) == list(other.obs_names)
    np.testing.assert_allclose(one.X, other.X, atol=1e-6)
    assert set(one.obs["context"]) == {"all"}


def test_what_is_missing_is_named():
    data = cells()
    with pytest.raises(ValueError, match=r"label 'ctrl'.*\[A, B, control, rare\]"):
        grs.pp.perturbation_profiles(data, "guide", control="ctrl")
    with pytest.raises(KeyError, match="'sgRNA'"):
        grs.pp.perturbation_profiles(data, "sgRNA")
    with pytest.raises(ValueError, match="min_cells must lie in"):
        grs.pp.perturbation_profiles(data, "guide", min_cells=1)
    with pytest.raises(ValueError, match=r"needs 1000 cells.*at most \d+ cells"):
        grs.pp.perturbation_profiles(data, "guide", min_cells=1000)
    data.obs.loc[(data.obs["line"] == "y") & (data.obs["guide"] == "control"), "guide"] = "A"
    with pytest.raises(ValueError, match=r"2 control cells.*\[y\]"):
        grs.pp.perturbation_profiles(data, "guide", context_key="line")
    data.X = data.X * 0.5
    with pytest.raises(ValueError, match="raw counts"):
        grs.pp.perturbation_profiles(data, "guide")
