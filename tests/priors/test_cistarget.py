"""Databases are read by columns, damaged files are named, annotation is sorted by kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from grnformer_sc.priors import _cistarget
from grnformer_sc.priors._cistarget import motif_annotation, open_database


@pytest.fixture
def frame():
    values = np.random.default_rng(0).permuted(np.tile(np.arange(30), (8, 1)), axis=1)
    return pd.DataFrame(values, columns=[f"chr1:{i}00-{i}50" for i in range(1, 31)], dtype=np.int32)


def write(path, frame, index="motifs", **options):
    table = frame.assign(**{index: [f"m{i}" if index != "regions" else r for i, r in enumerate(frame.index)]})
    pyarrow.feather.write_feather(table.reset_index(drop=True), path, **options)
    return path


def gather(database, regions):
    out = np.full((len(database.motifs), regions.size), -1)
    for motifs, columns, values in database.blocks(regions):
        assert (out[motifs][:, columns] == -1).all()  # nothing comes twice
        out[motifs, columns] = values
    return out


@pytest.mark.parametrize("index", ["motifs", "features", "tracks"])
@pytest.mark.parametrize("block", [1, 200, 10**6])
def test_values_come_in_any_order_of_columns_and_size_of_blocks(tmp_path, frame, index, block, monkeypatch):
    monkeypatch.setattr(_cistarget, "BLOCK_BYTES", block)
    path = write(tmp_path / "x.feather", frame, index, chunksize=3)  # three batches of motifs
    database = open_database(path, ranks=True)
    wanted = np.array([17, 3, 29, 4])
    assert database.regions.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(gather(database, wanted), frame.to_numpy()[:, wanted])


@pytest.mark.parametrize("block", [1, 300, 10**6])
def test_a_database_with_motifs_as_columns_gives_the_same(tmp_path, frame, block, monkeypatch):
    monkeypatch.setattr(_cistarget, "BLOCK_BYTES", block)
    turned = frame.T.set_axis([f"m{i}" for i in range(8)], axis=1)
    database = open_database(write(tmp_path / "x.feather", turned, "regions", chunksize=7), ranks=True)
    wanted = np.array([17, 3, 29, 4])
    assert database.motifs.tolist() == [f"m{i}" for i in range(8)]
    np.testing.assert_array_equal(gather(database, wanted), frame.to_numpy()[:, wanted])


def test_only_the_wanted_columns_are_read(tmp_path, frame, monkeypatch):
    database = open_database(write(tmp_path / "x.feather", frame), ranks=True)
    seen = []
    batches = _cistarget._batches

    def watched(arrow, path, columns):
        for batch in batches(arrow, path, columns):
            seen.append(batch.schema.names)
            yield batch

    monkeypatch.setattr(_cistarget, "_batches", watched)
    gather(database, np.array([5, 2]))
    assert seen == [[frame.columns[2], frame.columns[5]]]


def test_memory_follows_the_columns_that_are_read(tmp_path):
    """A file of 32 MB, of which 10 columns are read: what Arrow holds at its highest stays far below the file."""
    rng = np.random.default_rng(0)
    columns = {f"chr1:{i}-{i + 1}": rng.integers(0, 2**31 - 1, 4000, dtype=np.int32) for i in range(1, 2001)}
    path = tmp_path / "x.feather"
    pyarrow.feather.write_feather(pa.table({**columns, "motifs": [f"m{i}" for i in range(4000)]}), path)
    database = open_database(path, ranks=True)
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in database.blocks(np.arange(0, 2000, 200)))
    assert path.stat().st_size > 30e6
    assert 0 < most < 1e6


@pytest.mark.parametrize("kept", [0, 40, 2000])
def test_a_truncated_file_is_named_with_its_size(tmp_path, frame, kept):
    path = write(tmp_path / "half.feather", frame)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"half\.feather must be a complete feather file.*{kept:,} bytes") as error:
        open_database(path, ranks=True)
    assert "download" in str(error.value)


def test_damage_inside_a_file_is_found_when_it_is_read(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"chr1:{i}-{i + 9}": rng.integers(0, 9, 5000, dtype=np.int32) for i in range(9)})
    path = write(tmp_path / "spoiled.feather", frame, compression="lz4")
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 4, len(content) // 2)
    content[middle] = b"\xff" * (middle.stop - middle.start)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"spoiled\.feather must be a complete"):
        gather(open_database(path, ranks=True), np.arange(9))


def test_files_of_another_kind_are_named(tmp_path, frame):
    with pytest.raises(FileNotFoundError, match=r"none\.feather"):
        open_database(tmp_path / "none.feather", ranks=True)
    path = write(tmp_path / "x.feather", frame)
    with pytest.raises(ValueError, match=r"must hold scores.*int32.*\.scores\.feather"):
        open_database(path, ranks=False)
    with pytest.raises(ValueError, match=r"must hold rankings.*float"):
        open_database(write(tmp_path / "s.feather", frame.astype(np.float32)), ranks=True)
    with pytest.raises(ValueError, match=r"names its rows.*database of genes"):
        open_database(write(tmp_path / "g.feather", frame, "genes"), ranks=True)
    (tmp_path / "old.feather").write_bytes(b"FEA1" + b"0" * 50 + b"FEA1")
    with pytest.raises(ValueError, match="version 1"):
        open_database(tmp_path / "old.feather", ranks=True)


def test_annotation_is_sorted_by_kind(tmp_path):
    text = {
        "A": "gene is directly annotated",
        "B": "gene is orthologous to b in M. musculus (identity = 90%) which is directly annotated for motif",
        "C": "motif similar to x__y ('Z'; q-value = 0.0001) which is directly annotated",
        "D": "gene is orthologous to d in M. musculus (identity = 90%) which is annotated for similar motif x__y",
    }
    rows = [("m1", tf, 0.0, 1.0, words) for tf, words in text.items()]
    rows += [("m1", "A", 0.0, 1.0, text["A"]), ("m2", "E", 0.01, 1.0, text["C"]), ("m2", "F", 0.0, 0.2, text["B"])]
    columns = ["#motif_id", "gene_name", "motif_similarity_qvalue", "orthologous_identity", "description"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(tmp_path / "x.tbl.gz", sep="\t", index=False)
    found = motif_annotation(tmp_path / "x.tbl.gz", min_identity=0.5)
    assert dict(zip(found["tf"], found["kind"], strict=True)) == {
        "A": "direct", "B": "orthology", "C": "similarity", "D": "both",
    }  # fmt: skip
    pd.testing.assert_frame_equal(motif_annotation(table, min_identity=0.5), found)
    with pytest.raises(ValueError, match=r"without \['description'\]"):
        motif_annotation(table.drop(columns="description"))
    with pytest.raises(FileNotFoundError, match=r"none\.tbl"):
        motif_annotation(tmp_path / "none.tbl")
