"""A network of the perturbation model: planted targets come first, signs follow the action, wrong input is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc.grn.systems.lpm.network import edges_of

TOLD: dict[str, Any] = {"perturbation_key": "perturbation", "epochs": 20, "top": 30}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return grs.datasets.simulate_perturbations(60, n_genes=120, n_tfs=8, rng=2)


@pytest.fixture(scope="module")
def built(cells: AnnData) -> AnnData:
    made = cells.copy()
    grs.tl.build_grn(made, method="lpm", options=TOLD)
    return made


def test_planted_targets_of_a_knock_out_come_first_with_their_signs(built: AnnData) -> None:
    edges = built.uns["grn_lpm"]["edges"].astype({"tf": str, "gene": str})
    truth = built.uns["truth"].drop_duplicates(["tf", "gene"]).astype({"tf": str, "gene": str})
    sign = truth.set_index(["tf", "gene"])["sign"]
    pairs = pd.MultiIndex.from_frame(edges[["tf", "gene"]])
    first = edges.groupby("tf")["tf_gene_importance"].rank(ascending=False) <= 5
    chance = len(truth) / (8 * 119)
    assert pairs[first].isin(sign.index).mean() > 3 * chance
    real = first.to_numpy() & pairs.isin(sign.index)
    assert (edges.loc[real, "sign"].to_numpy() == sign.loc[pairs[real]].to_numpy()).mean() > 0.9
    assert (edges.groupby("tf").size() <= 30).all()
    assert not (edges["tf"] == edges["gene"]).any()


def test_embeddings_are_kept(built: AnnData) -> None:
    stored = built.uns["grn_lpm"]
    assert stored["readout_embedding"].shape == (120, 32)
    assert list(stored["perturbation_embedding"].index) == [f"TF{i:02d}" for i in range(1, 9)]


def test_a_gain_turns_the_signs_and_the_order_of_genes_plays_no_part(cells: AnnData, built: AnnData) -> None:
    other = cells[:, ::-1].copy()
    grs.tl.build_grn(other, method="lpm", options={**TOLD, "action": "gain"})
    gain, loss = (adata.uns["grn_lpm"]["edges"] for adata in (other, built))
    keys = ["tf", "gene", "tf_gene_importance"]
    one, two = (table.astype({"tf": str, "gene": str}).sort_values(keys[:2]) for table in (gain, loss))
    pd.testing.assert_frame_equal(one[keys].reset_index(drop=True), two[keys].reset_index(drop=True))
    np.testing.assert_array_equal(one["sign"], -two["sign"])


def test_edges_by_hand() -> None:
    effect = np.array([[9.0, -2.0, 1.0, 0.0], [0.5, 7.0, 0.0, -0.1]])
    table = edges_of(effect, np.array([0, 1]), pd.Index(list("ABCD")), sign=-1, top=2)
    found = list(table[["tf", "gene", "sign"]].astype({"tf": str, "gene": str}).itertuples(index=False, name=None))
    assert sorted(found) == [("A", "B", 1), ("A", "C", -1), ("B", "A", -1), ("B", "D", 1)]
    np.testing.assert_allclose(sorted(table["tf_gene_importance"]), [0.1, 0.5, 1.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ValueError, "must be told.*perturbation_key"),
        ({**TOLD, "perturbation_key": "lost"}, KeyError, "lost"),
        ({**TOLD, "control": "none"}, ValueError, "must carry the label 'none'"),
        ({**TOLD, "action": "up"}, ValueError, "action"),
        ({**TOLD, "top": 0}, ValueError, "top"),
    ],
)
def test_wrong_options_are_named(cells: AnnData, options: dict[str, Any], error: type[Exception], words: str) -> None:
    adata = cells.copy()
    with pytest.raises(error, match=words):
        grs.tl.build_grn(adata, method="lpm", options=options)
    assert "grn_lpm" not in adata.uns


def test_perturbations_that_are_no_genes_make_no_network(cells: AnnData) -> None:
    adata = cells.copy()
    label = adata.obs["perturbation"].astype(str)
    adata.obs["perturbation"] = label.where(label == "control", "drug " + label)
    with pytest.raises(ValueError, match="some perturbed gene must be a gene of the data"):
        grs.tl.build_grn(adata, method="lpm", options=TOLD)
