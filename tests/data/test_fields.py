from __future__ import annotations

import logging
import runpy
from pathlib import Path

import numpy as np
import pytest

from grnformer_sc._core.keys import GrnKeys
from grnformer_sc.data.fields import UNKNOWN, empty_network, read_cells, read_network

toy_rna = runpy.run_path(str(Path(__file__).with_name("toy.py")))["toy_rna"]


def read(adata, **options):
    return read_cells(adata, read_network(adata, "grn"), layer=None, keys=GrnKeys(), **options)


def test_without_a_network_the_error_names_build_grn():
    adata = toy_rna()
    del adata.uns["grn"]
    with pytest.raises(KeyError, match=r"grs\.tl\.build_grn.*use_grn=False"):
        read_network(adata, "grn")


def test_genes_are_aligned_by_name(caplog):
    adata = toy_rna()
    full = read(adata)
    order = np.random.default_rng(0).permutation(adata.n_vars)[:45]
    part = read(adata[:, order].copy(), genes=full.genes)
    assert part.genes.equals(full.genes)
    assert part.measured.sum() == 45
    expected = full.counts.to_memory().toarray()
    expected[:, ~part.measured] = 0
    np.testing.assert_array_equal(part.counts.to_memory().toarray(), expected)
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        read(adata[:, order].copy(), genes=full.genes)
    assert "matched 45 of the model's 60 genes" in caplog.text


def test_too_few_matching_genes_are_an_error():
    adata = toy_rna()
    other = adata.copy()
    other.var_names = [f"ENSG{i}" for i in range(other.n_vars)]
    with pytest.raises(ValueError, match=r"0 of them.*same species"):
        read(other, genes=adata.var_names)


def test_bits_of_another_network_are_an_error():
    adata = toy_rna()
    adata.obsm["grn_active"] = adata.obsm["grn_active"][:, :4]
    with pytest.raises(ValueError, match=r"network's 5 eRegulons.*cell_grn"):
        read(adata)


def test_labels_that_the_network_does_not_know_get_no_code():
    adata = toy_rna()
    network = read_network(adata, "grn")
    labels = adata.obs["grn_group"].astype(str).to_numpy()
    labels[:3] = "new"
    adata.obs["grn_group"] = labels
    codes = read(adata).codes
    assert (codes[:3] == UNKNOWN).all()
    np.testing.assert_array_equal(np.array(network.group_names)[codes[3:]], labels[3:])
    del adata.obs["grn_group"]
    assert (read(adata).codes == UNKNOWN).all()


def test_the_empty_network_is_one_group_without_bits():
    adata = toy_rna()
    cells = read_cells(adata, empty_network(), layer=None, keys=GrnKeys())
    assert (cells.codes == 0).all()
    assert cells.gene_bits is None
    assert empty_network().kept().shape == (1, 0)


def test_taking_rows_keeps_all_parts_together():
    cells = read(toy_rna())
    rows = np.array([7, 3])
    part = cells.take(rows)
    assert list(part.cells) == ["c7", "c3"]
    np.testing.assert_array_equal(part.counts.to_memory().toarray(), cells.counts.to_memory().toarray()[rows])
    np.testing.assert_array_equal(part.region_bits.toarray(), cells.region_bits.toarray()[rows])
