"""Settings: environment variables, validation, temporary changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from grnformer_sc._core.settings import Settings, resolve_jobs, settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_jobs", "3", 3),
        ("max_memory", "1.5GB", "1.5GB"),
        ("progress", "false", False),
        ("data_dir", "some/folder", Path("some/folder")),
        ("cache_dir", "other", Path("other")),
        ("chunk_cells", "10", 10),
    ],
)
def test_each_setting_has_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"GRS_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRS_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "base")
    assert Settings().cache_dir == Path("base", "grnformer_sc")


def test_override_restores_even_after_an_error() -> None:
    before = settings.n_jobs

    def interrupted() -> None:
        with settings.override(n_jobs=before + 5) as inside:
            assert settings.n_jobs == inside.n_jobs == before + 5
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert settings.n_jobs == before


@pytest.mark.parametrize(
    ("name", "value"), [("n_jobs", 0), ("chunk_cells", -1), ("max_memory", "4"), ("max_memory", "xGB")]
)
def test_a_wrong_value_is_refused_and_changes_nothing(name: str, value: object) -> None:
    before = getattr(settings, name)
    with pytest.raises(ValidationError):
        setattr(settings, name, value)
    assert getattr(settings, name) == before


def test_unknown_settings_are_refused() -> None:
    with pytest.raises((ValidationError, ValueError, AttributeError)):
        settings.no_such = 1


@pytest.mark.parametrize(("text", "size"), [("", float("inf")), ("4GB", 4 * 2**30), ("512mb", 512 * 2**20)])
def test_memory_is_read_in_bytes(text: str, size: float) -> None:
    assert Settings(max_memory=text).max_bytes == size


def test_jobs_resolve_to_a_positive_number() -> None:
    assert resolve_jobs(3) == 3
    assert resolve_jobs(None) == settings.n_jobs
    assert resolve_jobs(-1) == (os.cpu_count() or 1)
    with pytest.raises(ValueError, match=r"n_jobs .* Found: 0\. Fix: "):
        resolve_jobs(0)
