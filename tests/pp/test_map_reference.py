"""RNA-only cells get the networks of their neighbours: laws of the mapping, its fallbacks, its errors."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc._core.inputs import table_of
from grnformer_sc._core.settings import settings

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]
COLUMNS = ["grn_group", "grn_mapped", "grn_map_agreement", "grn_map_distance", "grn_map_unanimity"]


@pytest.fixture
def reference():
    return toy_rna(150)


@pytest.fixture
def cells():
    """Cells of the same kind; `obs` holds what they are."""
    other = toy_rna(90, seed=7)
    new = ad.AnnData(other.X.copy(), obs=other.obs.rename(columns={"grn_group": "what"}), var=other.var.copy())
    new.obs_names = [f"n{i}" for i in range(90)]
    new.obsm["true"] = other.obsm["grn_active"]
    return new


def mapped(cells, reference, **options):
    return grs.pp.map_reference(cells, reference, copy=True, **options)


def bits(adata):
    return adata.obsm["grn_active"].toarray()


@pytest.mark.parametrize("kind", ["gene", "region"])
def test_the_reference_gets_its_own_bits_back(reference, kind):
    same = mapped(reference.copy(), reference, k=1, cut=None, kind=kind)
    slot = "grn_active" if kind == "gene" else "grn_active_region"
    assert (same.obsm["grn_active"] != reference.obsm[slot]).nnz == 0
    assert (same.obs["grn_group"] == reference.obs["grn_group"]).all()
    assert (mapped(reference.copy(), reference, k=1).obs["grn_mapped"] == "neighbour").all()


def test_groups_and_bits_are_found(cells, reference):
    out = mapped(cells, reference)
    assert (out.obs["grn_group"].astype(str) == cells.obs["what"].astype(str)).mean() > 0.85
    assert (bits(out) == cells.obsm["true"].toarray()).mean() > 0.85


def test_the_order_of_cells_and_genes_plays_no_part(cells, reference):
    rng = np.random.default_rng(0)
    first = mapped(cells, reference)
    rows, genes = rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)
    old = reference[rng.permutation(reference.n_obs), rng.permutation(reference.n_vars)].copy()
    turned = mapped(cells[rows][:, genes].copy(), old)
    np.testing.assert_array_equal(bits(turned), bits(first)[rows])
    pd.testing.assert_frame_equal(turned.obs[COLUMNS], first.obs[COLUMNS].iloc[rows])


def test_a_cell_is_mapped_alike_in_any_subset_and_block(cells, reference):
    first = mapped(cells, reference)
    with settings.override(chunk_cells=7):
        part = mapped(cells[20:60].copy(), reference)
    np.testing.assert_array_equal(bits(part), bits(first)[20:60])
    pd.testing.assert_frame_equal(part.obs[COLUMNS], first.obs[COLUMNS].iloc[20:60])


@pytest.mark.parametrize("form", ["dense", "csc", "int", "view", "backed", "lazy"])
def test_storage_plays_no_part(cells, reference, form, tmp_path):
    first, other = mapped(cells, reference), cells.copy()
    if form in ("dense", "csc", "int"):
        other.X = {"dense": cells.X.toarray(), "csc": cells.X.tocsc(), "int": cells.X.astype(np.int64)}[form]
    if form in ("backed", "lazy"):
        cells.write_h5ad(tmp_path / "cells.h5ad")
        path = tmp_path / "cells.h5ad"
        other = ad.read_h5ad(path, backed="r") if form == "backed" else ad.experimental.read_lazy(path)
        grs.pp.map_reference(other, reference)
    else:
        other = mapped(other[:] if form == "view" else other, reference)
    np.testing.assert_array_equal(bits(other), bits(first))
    pd.testing.assert_frame_equal(table_of(other.obs)[COLUMNS], first.obs[COLUMNS])


def test_a_layer_may_hold_the_counts(cells, reference):
    first = mapped(cells, reference)
    for part in (cells, reference):
        part.layers["counts"] = part.X.copy()
        part.X = part.X * np.float32(0.3)
    with pytest.raises(ValueError, match="must be raw counts"):
        mapped(cells, reference)
    again = mapped(cells, reference, layer="counts", reference_layer="counts")
    np.testing.assert_array_equal(bits(again), bits(first))


def test_cells_unlike_the_reference_are_far(cells, reference):
    """Genes exchanged at random."""
    strange = cells.copy()
    strange.X = cells.X[:, np.random.default_rng(0).permutation(60)]
    both = ad.concat([cells, strange], index_unique="-")
    out = mapped(both, reference, min_agreement=0.7)
    far = (out.obs["grn_map_distance"] > 1).to_numpy()
    assert far[90:].mean() > 0.7
    assert far[:90].mean() < 0.1
    assert (out.obs["grn_mapped"][far] != "neighbour").all()
    none = (out.obs["grn_mapped"] == "none").to_numpy()
    assert none.any()
    assert (out.obs["grn_group"].isna() == none).all()
    assert bits(out)[none].sum() == 0
    typed = mapped(both, reference, min_agreement=0.0).obs
    assert (typed["grn_mapped"][far] == "type").all()
    assert (mapped(both, reference, cut=None).obs["grn_mapped"] == "neighbour").all()


def test_known_types_come_first(cells, reference):
    cells.obs["label"] = cells.obs["what"].astype(str)
    cells.obs.loc[cells.obs_names[:10], "label"] = "new kind"
    out = mapped(cells, reference, groupby="label")
    known = cells.obs["label"].to_numpy()[10:]
    assert (out.obs["grn_group"].astype(str).to_numpy()[10:] == known).all()
    assert (out.obs["grn_group"][:10] == mapped(cells, reference).obs["grn_group"][:10]).all()


def test_mapped_cells_can_be_used_at_once(cells, reference):
    rna = mapped(cells, reference, min_agreement=0.0)
    table = grs.get.grn(rna, cell="n3")
    on = rna.uns["grn"]["eregulons"]["name"].to_numpy()[bits(rna)[3]]
    assert set(table["eregulon"].astype(str)) == set(on)
    model = grs.tl.fit(rna, max_epochs=1, accelerator="cpu")
    assert model.context.gate == "neighbour"
    assert np.isfinite(rna.obsm["X_grnformer"]).all()


def test_scoring_by_own_expression_goes_on_from_the_groups(cells, reference):
    reference.uns["grn"]["eregulons"]["threshold"] = np.float32(0.1)
    reference.uns["grn"]["params"] = {"norm": "decoupler"}
    rna = mapped(cells, reference, cut=None)
    group = rna.obs["grn_group"].copy()
    grs.tl.cell_grn(rna)
    assert rna.obs["grn_group"].equals(group)
    assert rna.obsm["grn_auc"].shape == (90, 5)
    kept = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)[group.cat.codes]
    assert not (bits(rna) & ~kept).any()


def test_a_cell_without_a_network_has_an_empty_graph(cells, reference):
    out = mapped(cells, reference, min_agreement=0.0)
    out.obs.loc["n0", "grn_group"] = np.nan
    assert len(grs.get.cell_graph(out, "n0")) == 0
    with pytest.raises(ValueError, match=r"1 of 90 cells without one.*leave those out"):
        grs.tl.fit(out, max_epochs=1)


def test_what_belonged_to_other_bits_is_removed(reference, caplog):
    cells = reference.copy()
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        grs.pp.map_reference(cells, reference)
    assert not {"grn_auc", "grn_active_region"} & set(cells.obsm)
    assert "removed obsm['grn_auc']" in caplog.text


def test_genes_are_matched_by_name_and_the_loss_is_recorded(cells, reference, caplog):
    more = cells[:, ::-1][:, :45].copy()
    more.var_names = [*more.var_names[:40], *"abcde"]
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        out = mapped(more, reference)
    record = out.uns["grn"]["map_params"]
    assert record["dropped"]["reference_genes_missing"] == 20
    assert record["dropped"]["genes_not_in_reference"] == 5
    assert "by 40 genes" in caplog.text
    np.testing.assert_array_equal(bits(out), bits(mapped(cells[:, more.var_names[:40]].copy(), reference)))


def test_neighbours_may_be_found_in_the_embedding_of_a_model(cells, reference):
    model = grs.tl.fit(reference.copy(), max_epochs=3, accelerator="cpu")
    assert model.context.gate == "region"  # which the new cells do not have
    out = mapped(cells, reference, model=model)
    assert (out.obs["grn_group"].astype(str) == cells.obs["what"].astype(str)).mean() > 0.8
    assert out.uns["grn"]["map_params"]["space"] == "model"
    same = mapped(reference.copy(), reference, model=model, k=1)
    assert (same.obsm["grn_active"] != reference.obsm["grn_active"]).nnz == 0


def test_reference_cells_without_a_group_do_not_vote(cells, reference):
    less = reference[20:].copy()
    some = reference.copy()
    some.obs["grn_group"] = some.obs["grn_group"].where(np.arange(150) >= 20)
    out = mapped(cells, some)
    assert out.uns["grn"]["map_params"]["dropped"]["reference_cells_without_group"] == 20
    np.testing.assert_array_equal(bits(out), bits(mapped(cells, less)))


def test_misuse_is_named(cells, reference):
    with pytest.raises(ValueError, match="at least 50% of the 60 genes"):
        mapped(cells[:, :20].copy(), reference)
    wrong = cells.copy()
    wrong.var_names = [f"ENSG{i}" for i in range(60)]
    with pytest.raises(ValueError, match="harmonize_genes"):
        mapped(wrong, reference)
    with pytest.raises(KeyError, match=r"uns of the reference.*build_grn"):
        mapped(cells, cells.copy())
    for slot, name in (("obsm", "grn_active"), ("obs", "grn_group")):
        broken = reference.copy()
        del getattr(broken, slot)[name]
        with pytest.raises(KeyError, match=f"{slot} of the reference needs '{name}'"):
            mapped(cells, broken)
    rna_only = toy_rna(150, region=False)
    with pytest.raises(KeyError, match="kind='gene'"):
        mapped(cells, rna_only, kind="region")
    with pytest.raises(ValueError, match="kind must be one of"):
        mapped(cells, reference, kind="both")
    with pytest.raises(ValueError, match="k must be at least 1"):
        mapped(cells, reference, k=0)
    with pytest.raises(TypeError, match=r"GRNFormer\.load"):
        mapped(cells, reference, model="folder")
    with pytest.raises(ValueError, match="the same object"):
        grs.pp.map_reference(reference, reference)
    cells.obs["wrong"] = "x"
    with pytest.raises(ValueError, match="must be names of the network"):
        mapped(cells, reference, groupby="wrong")
    empty = cells.copy()
    empty.X = sp.diags_array(np.arange(90) != 3, dtype=np.float32) @ empty.X
    with pytest.raises(ValueError, match=r"1 all-zero cells: \[n3\]"):
        mapped(empty, reference)
    reference.obs["grn_group"] = "other"
    with pytest.raises(ValueError, match=r"cells with groups of the network.*\[other\]"):
        mapped(cells, reference)
    reference.obs["grn_group"], reference.obsm["grn_active"] = "A", reference.obsm["grn_active"][:, :3]
    with pytest.raises(ValueError, match="one column per eRegulon"):
        mapped(cells, reference)


def test_nothing_is_written_when_something_is_wrong(cells, reference):
    before = set(cells.obs), set(cells.obsm), set(cells.uns)
    with pytest.raises(ValueError, match="the 60 genes"):
        grs.pp.map_reference(cells[:, :10].copy(), reference)
    assert (set(cells.obs), set(cells.obsm), set(cells.uns)) == before
