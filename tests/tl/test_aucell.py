"""tl.aucell as a drop-in for decoupler's AUCell."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.grn.aucell import aucell as kernel


@pytest.fixture(scope="module")
def net(toy_mdata) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    genes = toy_mdata["rna"].var_names
    rows = [(f"set{s}", gene) for s in range(4) for gene in rng.choice(genes, 15, replace=False)]
    return pd.DataFrame(rows, columns=["source", "target"])


def test_equals_decoupler_with_its_tie_order(toy, net):
    """decoupler ranks the genes that are not empty, in one random order of its own."""
    import decoupler as dc

    rna = toy["rna"][:, np.asarray(toy["rna"].X.sum(axis=0)).ravel() > 0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoupler's own
        dc.mt.aucell(rna, net, tmin=5)
    theirs = rna.obsm["score_aucell"]
    order = np.random.default_rng(0).choice(np.arange(rna.n_vars), rna.n_vars, replace=False)
    _, members, _ = _members(net, rna.var_names)
    ours = kernel(rna.X.tocsr(), members, ties="random", tie_order=order)
    np.testing.assert_allclose(ours, theirs[["set0", "set1", "set2", "set3"]].to_numpy(), atol=1e-6)


def _members(net, genes):
    from grnformer_sc.tl._aucell import _members as members

    return members(net, genes, 5, weighted=False)


def test_table_and_mapping_give_the_same_scores(toy, net):
    rna = toy["rna"]
    grs.tl.aucell(rna, net)
    grs.tl.aucell(rna, {name: part["target"].tolist() for name, part in net.groupby("source")}, key_added="second")
    pd.testing.assert_frame_equal(rna.obsm["aucell"], rna.obsm["second"], check_exact=True)
    assert rna.obsm["aucell"].dtypes.unique().tolist() == [np.float32]


def test_seeds_matter_only_for_random_ties(toy, net):
    a = grs.tl.aucell(toy["rna"], net, ties="random", rng=1, copy=True)
    b = grs.tl.aucell(toy["rna"], net, ties="random", rng=2, copy=True)
    assert not a.obsm["aucell"].equals(b.obsm["aucell"])
    assert (
        grs.tl.aucell(toy["rna"], net, rng=1, copy=True)
        .obsm["aucell"]
        .equals(grs.tl.aucell(toy["rna"], net, rng=2, copy=True).obsm["aucell"])
    )


def test_small_sets_are_left_out(toy, net):
    grs.tl.aucell(toy["rna"], pd.concat([net, pd.DataFrame({"source": ["tiny"], "target": ["TF01"]})]))
    assert list(toy["rna"].obsm["aucell"].columns) == ["set0", "set1", "set2", "set3"]


@pytest.mark.parametrize(
    ("net", "error", "text"),
    [
        (pd.DataFrame({"tf": ["a"], "gene": ["b"]}), KeyError, "'source' and 'target'"),
        ({"a": ["nothing"]}, ValueError, "at least one set needs 5 genes"),
    ],
)
def test_wrong_networks_are_named(toy, net, error, text):
    with pytest.raises(error, match=text):
        grs.tl.aucell(toy["rna"], net)
