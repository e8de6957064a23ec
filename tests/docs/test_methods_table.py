"""The table of methods as a reader uses it: in a browser, with keys, and with scripts off."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import grnformer_sc as grs

pytest.importorskip("sphinx", reason="sphinx (docs) is not installed")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BROWSER = runpy.run_path(str(Path(__file__).with_name("_browser.py")))
NEEDS_BROWSER = pytest.mark.skipif(BROWSER["chromium"]() is None, reason="no Chromium is installed")
SHOWN = "[...document.querySelectorAll('.methods tbody:not([hidden])')]"
NAMES_SHOWN = f"{SHOWN}.map(body => body.querySelector('th').textContent)"
DATA = grs.get.methods()
NAMES = DATA["name"].tolist()


@pytest.fixture(scope="module")
def html() -> str:
    render = runpy.run_path(str(DOCS / "_extensions" / "catalogue.py"))["render"]
    return str(render(DATA))


@pytest.fixture(scope="module")
def file(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table alone in a page, with its script and style."""
    path = tmp_path_factory.mktemp("page") / "methods.html"
    style, script = ((DOCS / "_static" / f"methods.{kind}").as_uri() for kind in ("css", "js"))
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>Methods</title><link rel="stylesheet" href="{style}"><script defer src="{script}"></script></head>'
        f"<body>{html}</body></html>",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    try:
        with BROWSER["page"](tmp_path_factory.mktemp("profile")) as page:
            yield page
    except (EOFError, BrokenPipeError):
        pytest.skip("Chromium cannot be started here")


@pytest.fixture
def opened(browser: Any, file: Path) -> Any:
    """The page, fresh."""
    browser.open(file)
    return browser


def search(page: Any, words: str) -> None:
    page.run(
        f"(() => {{ const box = document.querySelector('.methods input'); box.value = '{words}';"
        " box.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_every_method_with_its_description_and_its_links_is_in_the_page(html: str) -> None:
    for row in DATA.to_dict("records"):
        assert f">{row['name']}</th>" in html
        assert f"https://doi.org/{row['doi']}" in html
        assert row["description"].split(".")[0].replace("`", "") in re.sub(r"</?code>", "", html)
    assert html.count("<tbody>") == len(DATA)
    assert set(re.findall(r'href="(explain/\w+)\.html"', html)) == {
        f"explain/{name}" for name in set(DATA["page"]) - {""}
    }


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    """Addresses are links to follow, never parts of the page."""
    files = [html, *((DOCS / "_static" / f"methods.{kind}").read_text() for kind in ("js", "css"))]
    assert not any(
        re.search(r"\bsrc\s*=|@import|url\(|fetch\(|XMLHttpRequest|import\(|<link|<script", text) for text in files
    )


@NEEDS_BROWSER
class TestWithoutScripts:
    def test_all_rows_and_descriptions_are_seen(self, browser: Any, file: Path) -> None:
        browser.open(file, scripts=False)
        document = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        found = browser.call("DOM.querySelectorAll", nodeId=document, selector=".methods tbody tr")["nodeIds"]
        assert len(found) == 2 * len(DATA)
        assert all(browser.call("DOM.getBoxModel", nodeId=node)["model"]["height"] > 10 for node in found)
        dead = browser.call("DOM.querySelectorAll", nodeId=document, selector=".methods :is(button, input)")
        assert dead["nodeIds"] == []


@NEEDS_BROWSER
class TestInABrowser:
    def test_five_rows_the_newest_first_and_nothing_asked_of_the_network(self, opened: Any) -> None:
        assert opened.run(NAMES_SHOWN) == NAMES[:5]
        assert opened.run("document.querySelector('.methods [role=status]').textContent") == (
            f"Showing 1 to 5 of {len(DATA)} methods"
        )
        assert len(opened.asked) == 3, "page, script and style"
        assert all(url.startswith("file:") for url in opened.asked)

    def test_words_are_searched_in_rows_and_descriptions(self, opened: Any) -> None:
        search(opened, "TRANSPORT optimal")
        described = DATA["description"].str.contains("optimal transport")
        assert opened.run(NAMES_SHOWN) == DATA.loc[described, "name"].tolist()
        search(opened, "no such words")
        assert opened.run(NAMES_SHOWN) == []
        assert "No method" in opened.run("document.querySelector('.methods [role=status]').textContent")
        search(opened, "")
        assert opened.run(NAMES_SHOWN) == NAMES[:5]

    def test_columns_are_sorted_both_ways_and_say_so(self, opened: Any) -> None:
        press = "document.querySelectorAll('.methods thead button')[{}].click()"
        sorts = "[...document.querySelectorAll('.methods th[aria-sort]')].map(head => head.getAttribute('aria-sort'))"
        assert opened.run(sorts)[1] == "descending"
        assert set(opened.run(sorts)) == {"descending", "none"}
        opened.run(press.format(1))
        assert opened.run(NAMES_SHOWN) == DATA.sort_values(["year", "name"])["name"].tolist()[:5]
        assert opened.run(sorts)[1] == "ascending"
        opened.run(press.format(0))
        ordered = sorted(NAMES, key=str.lower)
        assert opened.run(NAMES_SHOWN) == ordered[:5]
        opened.run(press.format(0))
        assert opened.run(NAMES_SHOWN) == ordered[::-1][:5]
        assert opened.run(sorts)[:2] == ["descending", "none"]

    @pytest.mark.parametrize("length", [10, 20, 50, 200])
    def test_pages_have_the_length_that_is_chosen(self, opened: Any, length: int) -> None:
        options = "[...document.querySelectorAll('.methods option')].map(option => option.value)"
        assert opened.run(options) == ["5", "10", "20", "50", "200"]
        opened.run(
            f"(() => {{ const box = document.querySelector('.methods select'); box.value = '{length}';"
            " box.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )
        assert opened.run(NAMES_SHOWN) == NAMES[:length]

    def test_the_pager_reaches_every_method_and_stops_at_the_ends(self, opened: Any) -> None:
        found = opened.run(NAMES_SHOWN)
        for _ in range(len(DATA) // 5 + 2):
            opened.run("document.querySelectorAll('.methods nav button')[1].click()")
            found += [name for name in opened.run(NAMES_SHOWN) if name not in found]
        assert found == NAMES
        ends = (
            "[...document.querySelectorAll('.methods nav button')].map(button => button.getAttribute('aria-disabled'))"
        )
        assert opened.run(ends) == ["false", "true"]

    @pytest.mark.parametrize("key", ["click", "Enter", " "])
    def test_a_description_opens_and_closes(self, opened: Any, key: str) -> None:
        button = f"{SHOWN}[1].querySelector('button')"
        more = f"document.getElementById({button}.getAttribute('aria-controls'))"
        for is_open in (True, False):
            if key == "click":
                opened.run(f"{button}.click()")
            else:
                opened.run(f"{button}.focus()")
                opened.press(key)
            assert opened.run(f"{button}.getAttribute('aria-expanded')") == str(is_open).lower()
            assert opened.run(f"{more}.getBoundingClientRect().height > 10") is is_open
            assert opened.run(f"{more}.textContent.includes({DATA['description'][1][:40]!r})")

    def test_all_of_it_is_reached_by_the_tab_key_with_a_visible_ring(self, opened: Any) -> None:
        opened.run("document.body.focus()")
        seen = []
        for _ in range(16):
            opened.press("Tab")
            seen.append(
                opened.run("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
            )
            assert opened.run("getComputedStyle(document.activeElement).outlineStyle") in ("solid", "auto"), seen
        assert seen[:3] == ["INPUT", "SELECT", "Methods"]
        assert f"Description of {NAMES[0]}" in seen

    def test_only_the_table_scrolls_sideways_on_a_phone(self, opened: Any) -> None:
        opened.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        opened.run(f"{SHOWN}[0].querySelector('button').click()")
        try:
            assert opened.run("document.documentElement.scrollWidth") <= 390
            assert opened.run("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.methods-box'))")
            assert (
                opened.run("document.querySelector('.methods-more:not([hidden]) div').getBoundingClientRect().right")
                <= 390
            )
        finally:
            opened.call("Emulation.clearDeviceMetricsOverride")
