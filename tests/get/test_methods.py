"""The catalogue of methods says of every row only what the package and the repository bear out."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import grnformer_sc as grs
from grnformer_sc.get._methods import COLUMNS, PROVIDED
from grnformer_sc.grn.settings import PRESETS
from grnformer_sc.nn.backbones import registered_backbones
from grnformer_sc.tl._build_grn import METHODS
from grnformer_sc.tl._simulate_ko import MODELS

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load(files("grnformer_sc.get").joinpath("methods.yaml").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = FILE["methods"]
NEEDED = {
    "name", "year", "task", "model_class", "inputs", "published", "kind", "doi", "licence", "provided", "description",
}  # fmt: skip
LISTS = {"task", "how", "proof"}
SYSTEMS = {
    "Geneformer": 2023, "scGPT": 2024, "LPM": 2025, "scGenePT": 2025, "GeneCompass": 2024, "scPRINT": 2025,
    "LINGER": 2024, "SCENIC+": 2023, "CellOracle": 2023, "Dictys": 2023, "RiTINI": 2024, "scRank": 2024, "FLeCS": 2025,
    "RENGE": 2023, "GRNFormer": 2025,
}  # fmt: skip
CHOICES = {
    ("tl.build_grn", "method"): METHODS, ("tl.build_grn", "preset"): tuple(PRESETS), ("tl.simulate_ko", "model"): MODELS,
    ("tl.fit", "backbone"): tuple(registered_backbones()),
}  # fmt: skip
DOI = re.compile(r"10\.\d{4,5}/\S+")
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])


@each_row
class TestRows:
    def test_have_the_columns_that_are_needed_and_no_other(self, row: dict[str, Any]) -> None:
        assert set(row) >= NEEDED
        assert set(row) <= set(COLUMNS)
        assert all(isinstance(row[name], list) == (name in LISTS) for name in row)
        assert all(row[name] for name in row), "leave out what there is not"

    def test_take_their_words_from_the_lists(self, row: dict[str, Any]) -> None:
        assert set(row["task"]) <= set(FILE["tasks"])
        assert row["kind"] in ("journal", "conference", "preprint")
        assert row["provided"] in PROVIDED
        assert isinstance(row["year"], int)

    def test_name_papers_and_code_by_their_addresses(self, row: dict[str, Any]) -> None:
        assert DOI.fullmatch(row["doi"])
        assert DOI.fullmatch(row.get("preprint", row["doi"]))
        assert re.fullmatch(
            r"https://(github\.com|huggingface\.co)/[\w-]+/[\w-]+", row.get("code", "https://github.com/a/b")
        )

    def test_say_how_they_are_provided_exactly_when_they_are(self, row: dict[str, Any]) -> None:
        here = row["provided"] != "not yet"
        assert all((name in row) is here for name in ("how", "here", "proof", "page"))
        assert here or "method" not in row

    def test_call_what_exists(self, row: dict[str, Any]) -> None:
        for call in row.get("how", []):
            node = ast.parse(call, mode="eval").body
            name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
            space, function = name.split(".")
            assert function in dir(getattr(grs, space)), call
            for word in node.keywords if isinstance(node, ast.Call) else []:
                assert ast.literal_eval(word.value) in CHOICES[name, str(word.arg)]

    def test_are_proven_by_files_that_exist(self, row: dict[str, Any]) -> None:
        for path in row.get("proof", []):
            assert re.fullmatch(r"tests/\w+/test_\w+\.py|benchmarks/bench_\w+\.py", path)
            assert (ROOT / path).is_file(), path
        assert "page" not in row or (ROOT / "docs" / "explain" / f"{row['page']}.md").is_file()

    def test_are_described_in_sentences(self, row: dict[str, Any]) -> None:
        for text in (row["description"], row.get("here", "Nothing.")):
            assert text.endswith(".")
            assert "\n" not in text
            assert text.count("`") % 2 == 0


def test_every_method_of_build_grn_has_one_row() -> None:
    named = [row["method"] for row in ROWS if "method" in row]
    assert sorted(named) == sorted(METHODS)


def test_the_fifteen_systems_are_there() -> None:
    assert {row["name"]: row["year"] for row in ROWS}.items() >= SYSTEMS.items()


def test_names_are_unique_and_the_newest_comes_first() -> None:
    order = [(-row["year"], row["name"].lower()) for row in ROWS]
    assert order == sorted(order)
    assert len({name for _, name in order}) == len(ROWS)


def test_every_task_has_a_method() -> None:
    assert set(FILE["tasks"]) == {task for row in ROWS for task in row["task"]}


class TestMethods:
    def test_the_table_is_the_file(self) -> None:
        table = grs.get.methods()
        assert list(table.columns) == list(COLUMNS)
        for found, row in zip(table.to_dict("records"), ROWS, strict=True):
            expected = {name: "; ".join(value) if name in LISTS else value for name, value in row.items()}
            assert found == dict.fromkeys(COLUMNS, "") | expected

    def test_a_change_of_the_table_stays_with_the_caller(self) -> None:
        mine = grs.get.methods()
        mine["name"] = "mine"
        assert "mine" not in set(grs.get.methods()["name"])

    def test_filters_keep_the_rows_that_fit_all_of_them(self) -> None:
        table = grs.get.methods()
        fits = table["task"].str.split("; ").map(lambda tasks: "causal structure" in tasks) & (
            table["provided"] == "native"
        )
        found = grs.get.methods(task="causal structure", provided="native")
        pd.testing.assert_frame_equal(found, table[fits].reset_index(drop=True))
        assert 0 < len(found) < len(table)

    @pytest.mark.parametrize(
        ("option", "text"), [("task", "GRN inference, unseen"), ("provided", "native, files, not yet")]
    )
    def test_unknown_words_are_named_with_the_known_ones(self, option: str, text: str) -> None:
        with pytest.raises(ValueError, match=rf"{option} must be one of \[{text}.*Found: 'GRN'"):
            grs.get.methods(**{option: "GRN"})
