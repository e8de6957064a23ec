"""A prior network is the same whatever the form it comes in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs

TRUTH = pd.DataFrame({"tf": ["A", "A", "B"], "gene": ["x", "z", "x"], "weight": [1.0, -2.0, 0.5]})
WIDE = pd.DataFrame([[1.0, 0.0, -2.0], [0.5, 0.0, 0.0]], index=["A", "B"], columns=["x", "y", "z"])


@pytest.mark.parametrize(
    "names",
    [("tf", "gene", "weight"), ("source", "target", "weight"), ("TF", "Target", "mor"), ("Regulator", "Gene", "Score")],
)
def test_long_tables_of_any_naming_and_order(names):
    table = TRUTH.set_axis(names, axis=1).sample(frac=1, random_state=1).assign(pmid="1;2")
    pd.testing.assert_frame_equal(grs.priors.prior_network(table), TRUTH)


def test_wide_tables_and_matrices_in_both_orientations():
    for source, tfs in (
        (WIDE, "rows"),
        (WIDE.T, "columns"),
        (WIDE.rename_axis("TF").reset_index(), "rows"),
        ((sp.csr_matrix(WIDE), WIDE.index, WIDE.columns), "rows"),
        ((WIDE.to_numpy().T, WIDE.columns, WIDE.index), "columns"),
    ):
        pd.testing.assert_frame_equal(grs.priors.prior_network(source, tfs=tfs), TRUTH)


@pytest.mark.parametrize("name", ["net.csv", "net.tsv.gz", "net.txt"])
@pytest.mark.parametrize("wide", [False, True])
def test_files(tmp_path, name, wide):
    sep = "," if ".csv" in name else "\t"
    (WIDE if wide else TRUTH).to_csv(tmp_path / name, sep=sep, index=wide)
    pd.testing.assert_frame_equal(grs.priors.prior_network(tmp_path / name), TRUTH)


def test_repeats_keep_the_largest_weight_and_its_sign_in_any_order(caplog):
    table = pd.DataFrame({"tf": ["A"] * 4 + [None], "gene": ["x"] * 4 + ["y"], "weight": [0.5, -2.0, 2.0, 0.0, 1.0]})
    with caplog.at_level("INFO"):
        both = [grs.priors.prior_network(t) for t in (table, table[::-1])]
    pd.testing.assert_frame_equal(*both)
    assert both[0]["weight"].tolist() == [2.0]
    assert "2 repeated pairs" in caplog.text
    assert "1 rows without" in caplog.text


def test_words_are_signs_and_no_weight_is_one():
    table = pd.DataFrame({"tf": ["A", "B"], "target": ["x", "x"], "mode": ["Activation", "Repression"]})
    assert grs.priors.prior_network(table)["weight"].tolist() == [1, -1]
    assert grs.priors.prior_network(table[["tf", "target"]])["weight"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "needs a TF and a gene column"),
        (pd.DataFrame({"tf": ["A"], "gene": ["x"], "weight": [np.nan]}), ValueError, "finite numbers"),
        (pd.DataFrame({"tf": ["A"], "gene": ["x"], "weight": ["high"]}), ValueError, "finite numbers"),
        (pd.DataFrame({"tf": [], "gene": []}), ValueError, "at least one"),
        ((np.ones((2, 2)), ["A"], ["x", "y"]), ValueError, "fitting sizes"),
        ("nowhere.csv", FileNotFoundError, "must exist"),
        (3, TypeError, "int"),
    ],
)
def test_bad_priors_are_named(source, error, match):
    with pytest.raises(error, match=match):
        grs.priors.prior_network(source)


@pytest.mark.realdata
def test_real_networks(data_dir):
    raw = pd.read_csv(data_dir / "networks" / "trrust_v2_human.tsv.gz", sep="\t")
    with pytest.raises(ValueError, match="Regulation"):  # its first row is a second header
        grs.priors.prior_network(raw)
    trrust = grs.priors.prior_network(raw.iloc[1:])
    assert trrust["weight"].isin([1, -1]).all()
    assert (trrust["weight"] < 0).mean() > 0.1
    collectri = grs.priors.prior_network(data_dir / "networks" / "collectri_human.csv.gz")
    assert collectri.shape[0] > 40_000
