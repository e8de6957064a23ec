"""`python -m grnformer_sc.bench`: a leaderboard from files, resumed and printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from grnformer_sc import bench
from grnformer_sc.bench import Run, Table
from grnformer_sc.bench.__main__ import TASKS, main


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A task of two runs in the place of a real one; notes what it is given and what it runs."""
    made: list[str] = []

    def perturbation(adata: AnnData, *, level: float | str = 0.0) -> Table:
        made.append(f"{adata.n_obs} cells, level {level!r}")

        def measure(run: Run) -> pd.DataFrame:
            made.append(run.method)
            return pd.DataFrame(
                {"item": ["A", "B"], "metric": "r", "value": [0.25, {"mean": 0.25, "ours": 0.75}[run.method]]}
            )

        return Table("perturbation", "d0", "s0", "r", "gene", (Run("mean", "baseline"), Run("ours", "ours")), measure)

    monkeypatch.setattr(bench, "perturbation", perturbation)
    return made


@pytest.fixture
def cells(tmp_path: Path) -> str:
    path = tmp_path / "cells.h5ad"
    AnnData(np.ones((3, 2), dtype=np.float32)).write_h5ad(path)
    return str(path)


def test_the_board_is_printed_and_the_scores_are_kept(
    calls: list[str], cells: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.csv"
    assert main(["perturbation", cells, str(scores), "level=max"]) == 0
    assert calls == ["3 cells, level 'max'", "mean", "ours"]
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "perturbation: r by gene (data d0, split s0)"
    assert [line.split()[:2] for line in said.splitlines()[2:4]] == [["ours", "ours"], ["mean", "baseline"]]
    assert "best baseline: mean; controls: none needed; bootstrap by gene" in said
    assert main(["perturbation", cells, str(scores), "level=2"]) == 0
    assert calls[3:] == ["3 cells, level 2"]  # nothing is run again
    assert len(pd.read_csv(scores)) == 4


def test_arguments_are_checked(
    calls: list[str], cells: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"\['levels'\] are no arguments of perturbation.*level"):
        main(["perturbation", cells, str(tmp_path / "s.csv"), "levels=0"])
    with pytest.raises(ValueError, match=r"drug_sensitivity needs \[labels\].*add labels=<value>"):
        main(["drug_sensitivity", cells, cells, str(tmp_path / "s.csv")])
    assert main(["perturbation"]) == 2
    assert main(["nothing", cells, "s.csv"]) == 2
    assert "TASK: perturbation, drug_response, drug_sensitivity" in capsys.readouterr().err
    assert calls == []


def test_every_task_is_a_table_of_the_package() -> None:
    for name in TASKS:
        assert getattr(bench, name).__annotations__["return"] == "Table"
