"""Finished parts: read again when nothing that decides them changed, computed again otherwise."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from grnformer_sc._core.checkpoint import Checkpoint


def values(offset: float = 0) -> np.ndarray:
    return np.arange(5, dtype=np.float32) + offset


def never() -> np.ndarray:
    raise AssertionError


def test_a_kept_part_is_read_again(tmp_path: Path) -> None:
    first = Checkpoint.at(tmp_path / "new").of("step", values(), "settings")
    np.testing.assert_array_equal(first.keep("0-5", values), values())
    again = Checkpoint.at(tmp_path / "new").of("step", values(), "settings")
    found = again.keep("0-5", never)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values())


@pytest.mark.parametrize(
    ("title", "decisive"),
    [
        ("other", (values(), 1)),
        ("step", (values(1), 1)),
        ("step", (values().astype(float), 1)),
        ("step", (values(), 2)),
    ],
)
def test_another_input_or_setting_makes_another_part(tmp_path: Path, title: str, decisive: tuple) -> None:
    Checkpoint.at(tmp_path).of("step", values(), 1).keep("0-5", values)
    with pytest.raises(AssertionError):
        Checkpoint.at(tmp_path).of(title, *decisive).keep("0-5", never)


def test_without_a_folder_nothing_is_kept() -> None:
    part = Checkpoint.at(None).of("step", values())
    part.keep("a", values)
    with pytest.raises(AssertionError):
        part.keep("a", never)


def test_a_broken_file_is_named_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = Checkpoint.at(tmp_path).of("step", 1)
    part.keep("a", values)
    path = next(tmp_path.glob("*.npy"))
    path.write_bytes(path.read_bytes()[:40])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(part.keep("a", values), values())
    assert f"{path.name} cannot be read" in caplog.text
    np.testing.assert_array_equal(part.keep("a", never), values())


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"resume must name a folder.*Fix"):
        Checkpoint.at(tmp_path / "file")


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Checkpoint.at(tmp_path).of("step").keep("a", never)
    assert list(tmp_path.iterdir()) == []
