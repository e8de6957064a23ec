"""One spelling of perturbations comes out of all usual ones; what cannot be used is named."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

GENES = ["KLF1", "SET", "HBG1", "CBL"]


def cells(labels, column="perturbation", genes=GENES, **obs):
    frame = pd.DataFrame({column: labels, **obs}, index=[f"c{i}" for i in range(len(labels))])
    return ad.AnnData(np.ones((len(labels), len(genes)), dtype=np.float32), obs=frame, var=pd.DataFrame(index=genes))


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (["ctrl", "KLF1+ctrl", "ctrl+SET", "SET+KLF1"], {}),  # GEARS
        (["control", "KLF1", "SET", "KLF1_SET"], {}),  # scPerturb
        (["control", "KLF1", "SET", "KLF1+SET"], {}),  # pertpy, PerturBench
        (["non-targeting", "KLF1", "SET", "SET+KLF1"], {}),  # cell-eval
        (["NT", "KLF1", "SET", "SET|KLF1"], {}),
        (["AAVS", "KLF1", "SET", "SET~KLF1"], {"control": "AAVS", "sep": "~"}),
        (["g1", "KLF1", "SET", "SET+KLF1"], {"control": ["g1", "g2"]}),
    ],
)
def test_all_usual_spellings_become_one(labels, options):
    adata = cells(labels)
    grs.pp.perturbation_setup(adata, **options)
    assert adata.obs["perturbed"].tolist() == ["control", "KLF1", "SET", "KLF1+SET"]
    table = adata.uns["perturbed"]["conditions"].set_index("perturbation")
    assert table["n_genes"].to_dict() == {"control": 0, "KLF1": 1, "SET": 1, "KLF1+SET": 2}


def test_any_number_of_genes_and_those_not_measured_are_kept():
    adata = cells(["control", "KLF1+ZZZ3+SET", "ZZZ3+SET+KLF1"])
    grs.pp.perturbation_setup(adata)
    assert adata.obs["perturbed"].tolist() == ["control", "KLF1+SET+ZZZ3", "KLF1+SET+ZZZ3"]
    assert adata.uns["perturbed"]["genes"].set_index("gene")["measured"].to_dict() == {
        "KLF1": True, "SET": True, "ZZZ3": False,
    }  # fmt: skip
    row = adata.uns["perturbed"]["conditions"].set_index("perturbation").loc["KLF1+SET+ZZZ3"]
    assert (row["n_genes"], row["n_measured"], row["n_cells"]) == (3, 2, 2)


def test_a_character_that_cuts_into_unknown_names_is_part_of_the_name():
    adata = cells(["control", "guide_7", "KLF1"])
    grs.pp.perturbation_setup(adata)
    assert adata.obs["perturbed"].tolist() == ["control", "guide_7", "KLF1"]


def test_contexts_join_covariates_and_need_their_controls():
    obs = {"line": ["x", "x", "y", "y"], "day": [1, 1, 2, 2]}
    adata = cells(["control", "KLF1"] * 2, **obs)
    grs.pp.perturbation_setup(adata, covariate_keys=["line", "day"])
    assert adata.obs["perturbed_context"].tolist() == ["x, 1", "x, 1", "y, 2", "y, 2"]
    adata.obs.loc["c2", "perturbation"] = "SET"
    with pytest.raises(ValueError, match=r"every context needs control cells.*none in \[y\]"):
        grs.pp.perturbation_setup(adata, covariate_keys=["line"])


def test_names_of_another_column_and_another_spelling_are_seen(caplog):
    adata = cells(["control", "KLF1"], genes=["ENSG1", "ENSG2"])
    adata.var["symbol"] = ["KLF1", "SET"]
    grs.pp.perturbation_setup(adata, gene_key="symbol")
    assert adata.uns["perturbed"]["genes"]["measured"].tolist() == [True]
    with caplog.at_level(logging.WARNING):
        grs.pp.perturbation_setup(cells(["control", "Klf1"]))
    assert "Klf1 (measured: KLF1)" in caplog.text


def test_wrong_input_is_named_and_leaves_the_object_as_it_was():
    with pytest.raises(ValueError, match=r"some cells must be controls.*\[KLF1, SET\].*control="):
        grs.pp.perturbation_setup(cells(["KLF1", "SET"]))
    with pytest.raises(ValueError, match=r"some cells must be controls: \[wt\]"):
        grs.pp.perturbation_setup(cells(["control", "SET"]), control="wt")
    with pytest.raises(ValueError, match=r"must be perturbed.*control cells only"):
        grs.pp.perturbation_setup(cells(["control", "ctrl"]))
    with pytest.raises(ValueError, match="1 cells without one"):
        grs.pp.perturbation_setup(cells(["control", None, "SET"]))
    with pytest.raises(KeyError, match="condition_key='guide' names no column"):
        grs.pp.perturbation_setup(cells(["control", "SET"]), condition_key="guide")
    with pytest.raises(KeyError, match="symbol"):
        grs.pp.perturbation_setup(cells(["control", "SET"]), gene_key="symbol")
    with pytest.raises(ValueError, match="with an empty name"):
        grs.pp.perturbation_setup(cells(["control", "SET+"]))
    with pytest.raises(TypeError, match=r"covariate_keys=\['perturbation'\]"):
        grs.pp.perturbation_setup(cells(["control", "SET"]), covariate_keys="perturbation")
    adata = cells(["control", "SET"], covariate=["x", "y"])
    with pytest.raises(ValueError, match="every context"):
        grs.pp.perturbation_setup(adata, covariate_keys=["covariate"])
    assert "perturbed" not in adata.obs
    assert not adata.uns


def test_a_copy_leaves_the_original():
    adata = cells(["control", "SET"])
    made = grs.pp.perturbation_setup(adata, copy=True)
    assert made.obs["perturbed"].tolist() == ["control", "SET"]
    assert "perturbed" not in adata.obs
