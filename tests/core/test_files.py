"""Text of files, and files that are written whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from grnformer_sc._core.files import bed_lines, read_text, whole_file


def test_compressed_text_is_the_same(tmp_path: Path) -> None:
    text = "track x\n# note\nchr1\t1\t2\n\nchr2 3 4\n"
    (tmp_path / "a.bed").write_text(text)
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(text.encode()))
    for path in (tmp_path / "a.bed", tmp_path / "a.bed.gz"):
        assert read_text(path) == text
        assert bed_lines(path) == ["chr1\t1\t2", "chr2 3 4"]


def fail_halfway(path: Path) -> None:
    with whole_file(path) as draft:
        draft.write_text("half")
        msg = "disk is full"
        raise OSError(msg)


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as draft:
        draft.write_text("old")
    with pytest.raises(OSError, match="full"):
        fail_halfway(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"folder of 'x.gmt' must exist.*gone.*make it first"),
        whole_file(tmp_path / "gone" / "x.gmt"),
    ):
        pass
