"""The check of an installation tells a sound one from a broken one."""

from __future__ import annotations

import pytest

from grnformer_sc import selftest


def test_a_sound_installation_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.main() == 0
    printed = capsys.readouterr().out
    assert "all checks passed" in printed
    assert "numba" in printed


def test_a_broken_step_is_named_and_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(self: selftest._Run) -> tuple[bool, str]:
        """Cells can be made"""
        raise RuntimeError("no cells today")

    monkeypatch.setattr(selftest._Run, "steps", lambda self: [lambda: broken(self)])
    assert selftest.main() == 1
    assert "RuntimeError: no cells today" in capsys.readouterr().out


def test_missing_packages_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "PACKAGES", ("no-such-package",))
    assert selftest.versions()["no-such-package"] == "missing"
