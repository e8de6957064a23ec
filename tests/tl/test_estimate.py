"""Seconds and memory before a run; memory is kept below the limit that the user set. Seconds are judged in benchmarks/."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grnformer_sc as grs
from grnformer_sc.grn.cost import STAGES, Sizes, stage_bytes

SMALL = Sizes(
    n_cells=2000, n_genes=2000, n_regions=20_000, rna_values=10**6, atac_values=10**6, n_pairs=40_000, n_pools=200,
    n_neighbours=1, n_single=0, n_tfs=100,
)  # fmt: skip


def test_every_step_has_its_seconds_and_memory(toy: Any) -> None:
    before = set(toy["rna"].uns), set(toy["rna"].obsm)
    table = grs.estimate(toy, "cell_type")
    assert table.index.tolist() == [*STAGES, "total"]
    assert (table > 0).all().all()
    assert table.loc["total", "seconds"] == pytest.approx(table["seconds"].iloc[:-1].sum())
    assert table.loc["total", "gb"] == table["gb"].iloc[:-1].max()
    assert (set(toy["rna"].uns), set(toy["rna"].obsm)) == before


def test_rna_alone_has_no_region_step(toy: Any) -> None:
    table = grs.estimate(toy["rna"], tfs="is_tf")
    assert table.loc["region -> gene"].tolist() == [0, 0]
    assert table.loc["TF -> gene", "seconds"] > 0


def test_genes_that_are_all_tfs_have_their_seconds(toy: Any) -> None:
    table = grs.estimate(toy["rna"], tfs=list(toy["rna"].var_names))
    assert table.loc["TF -> gene", "seconds"] > 0


def test_input_that_cannot_be_used_is_named_before_the_run(toy: Any) -> None:
    toy["rna"].X = toy["rna"].X * 0.3
    with pytest.raises(ValueError, match="raw counts"):
        grs.estimate(toy, "cell_type")


@pytest.mark.parametrize("name", ["n_genes", "rna_values", "atac_values", "n_pairs", "n_pools", "n_tfs"])
def test_memory_never_falls_with_size(name: str) -> None:
    small, large = stage_bytes(SMALL), stage_bytes(replace(SMALL, **{name: 10 * getattr(SMALL, name)}))
    assert all(large[stage] >= small[stage] for stage in STAGES)
    assert sum(large.values()) > sum(small.values())


def test_more_cells_of_the_same_counts_need_no_more_for_components() -> None:
    """Components are fitted to at most 50,000 cells, so the step grows with the metacells only."""
    many = replace(SMALL, n_cells=200_000, rna_values=10**8, atac_values=10**8)
    more = replace(many, n_cells=400_000, rna_values=2 * 10**8, atac_values=2 * 10**8)
    assert stage_bytes(more)["rows"] < 1.2 * stage_bytes(many)["rows"]


def test_the_memory_limit_is_obeyed(toy: Any, caplog: pytest.LogCaptureFixture) -> None:
    with grs.settings.override(max_memory="100KB"), pytest.raises(ValueError, match=r"max_memory = '100KB'.*GB.*Fix"):
        grs.tl.build_grn(toy, groupby="cell_type")
    assert "grn" not in toy["rna"].uns
    with grs.settings.override(max_memory="1GB"), caplog.at_level(logging.INFO):
        grs.tl.build_grn(toy, groupby="cell_type")
    needed = re.search(r"needs about (\S+) GB beside the data", caplog.text)
    assert needed is not None
    assert 1e-4 < float(needed[1]) < 1  # above the limit that was refused


def test_it_is_on_the_api_page() -> None:
    assert "estimate" in (Path(__file__).parents[2] / "docs" / "api" / "tl.md").read_text()
    assert np.isin("estimate", dir(grs))
