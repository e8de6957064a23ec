"""The cortex data: a small imitation of the upstream files, and the real ones."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc.datasets import _registry, _snare


@pytest.fixture
def imitation(tmp_path, monkeypatch):
    """The six upstream files with 340 cells, 3 genes and 2 regions, registered under their real names."""
    rng = np.random.default_rng(0)
    n = 340
    raw = tmp_path / "snare_mouse_cortex" / "raw"
    raw.mkdir(parents=True)
    rna, atac = rng.integers(0, 90, (3, n)), rng.integers(0, 90, (2, n))
    rna[:, 0] = 0
    sp.save_npz(raw / "GxC1.npz", sp.csr_matrix(rna))
    sp.save_npz(raw / "RxC1.npz", sp.csc_matrix(atac))
    (raw / "genes.txt").write_text("Gad1\nNovel\nSox2\n")
    (raw / "regions.txt").write_text("chr1_10_20\nchrUn_x_5_9\n")
    types = np.array(["L2/3"] * 325 + ["Sst"] * 10 + ["Mis"] * 5)
    meta = pd.DataFrame({"Batch": "09A", "Barcode": "ACGT", "Ident": "NA", "cluster (remapped)": types})
    meta.set_axis([f"c{i}" for i in range(n)]).to_csv(raw / "meta_c1.csv")
    bed = tmp_path / "regulatory_resources" / "raw" / "mm10_genes.bed"
    bed.parent.mkdir(parents=True)
    bed.write_text("chr2\t5\t9\tGad1\t-\nchr2\t1\t9\tGad1\t-\nchr3\t7\t8\tSox2\t+\n")
    files = {
        name: dataclasses.replace(entry, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for name, entry in _registry.remote_files().items()
        for path in [tmp_path / entry.folder / "raw" / entry.file]
        if path.exists()
    }
    monkeypatch.setattr(_registry, "remote_files", lambda: files)
    with grs.settings.override(data_dir=tmp_path, cache_dir=tmp_path / "cache"):
        yield raw, rna, atac, types


def test_matrices_names_and_positions(imitation):
    _, rna, atac, types = imitation
    mdata = grs.datasets.snare_cortex(download=False)
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), rna.T)
    np.testing.assert_array_equal(mdata["atac"].X.toarray(), atac.T)
    assert mdata["rna"].X.dtype == np.float32
    assert mdata["atac"].var_names.tolist() == ["chr1:10-20", "chrUn_x:5-9"]
    want = pd.DataFrame(
        {"chrom": ["chr2", "", "chr3"], "start": [1, 0, 7], "end": [9, 0, 8], "strand": ["-", "+", "+"]},
        index=["Gad1", "Novel", "Sox2"],
    )
    pd.testing.assert_frame_equal(mdata["rna"].var, want)
    assert mdata.uns["n_genes_without_position"] == 1
    for part in (mdata["rna"], mdata["atac"]):
        assert part.obs["cell_type"].tolist() == types.tolist()
        assert part.obs["cluster"].cat.categories.tolist() == ["NA"]


def test_small_keeps_typed_cells_with_counts_and_caps_each_type(imitation):
    _, rna, atac, types = imitation
    small = grs.datasets.snare_cortex(subset="small", download=False)
    rich = (rna.sum(axis=0) >= 50) & (atac.sum(axis=0) >= 50)
    count = small["rna"].obs["cell_type"].value_counts()
    assert count["L2/3"] == min(300, (rich & (types == "L2/3")).sum())
    assert count["Sst"] == (rich & (types == "Sst")).sum()
    assert "Mis" not in count.index
    rows = small["rna"].obs_names.str[1:].astype(int)
    assert rich[rows].all()
    assert rows.is_monotonic_increasing
    assert small["rna"].obs_names.equals(grs.datasets.snare_cortex(subset="small")["rna"].obs_names)


def test_corrupt_missing_and_unfitting_files_are_errors(imitation, monkeypatch):
    raw = imitation[0]
    monkeypatch.setattr(_snare, "fetch", lambda name, *, download: _other_genes(raw, name, download))
    with pytest.raises(ValueError, match="genes must fit"):
        grs.datasets.snare_cortex(download=False)
    monkeypatch.undo()
    with pytest.raises((ValueError, TypeError), match="subset"):
        grs.datasets.snare_cortex(subset="tiny")


def _other_genes(raw, name, download):
    path = _registry.fetch(name, download=download)
    if path.name == "genes.txt":
        path = raw / "fewer.txt"
        path.write_text("Gad1\n")
    return path


def test_npz_files_with_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, format=np.array([object()], dtype=object), data=np.ones(1))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        _snare.read_counts_npz(path)


@pytest.mark.realdata
def test_real_files_equal_the_prepared_ones(data_dir):
    folder = data_dir / "snare_mouse_cortex"
    with grs.settings.override(data_dir=data_dir):
        for subset, name in ((None, "snare_cortex_10k.h5mu"), ("small", "snare_cortex_small.h5mu")):
            got = grs.datasets.snare_cortex(subset=subset, download=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                want = mudata.read_h5mu(folder / name)
            assert got.obs_names.equals(want.obs_names)
            for part in ("rna", "atac"):
                assert got[part].var_names.equals(want[part].var_names)
                assert (got[part].X != want[part].X).nnz == 0
            for column in ("batch", "barcode", "cluster", "cell_type"):
                assert (got["rna"].obs[column].astype(str) == want.obs[column].astype(str)).all()
            assert got.uns["n_genes_without_position"] == 3
