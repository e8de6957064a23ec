"""Steps are logged in one line with their facts and their time; progress bars obey the settings."""

from __future__ import annotations

import logging

import pytest

from grnformer_sc._core.logging import progress, step
from grnformer_sc._core.settings import settings


def test_a_step_logs_its_facts_and_its_time(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("grnformer_sc.test")
    with caplog.at_level(logging.INFO, logger="grnformer_sc"), step(logger, "links") as facts:
        facts.append("3 edges")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("links: 3 edges (")


def test_a_step_that_fails_is_not_reported_as_done(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("grnformer_sc.test")
    with caplog.at_level(logging.INFO, logger="grnformer_sc"), pytest.raises(KeyError), step(logger, "links"):
        raise KeyError
    assert caplog.messages == []


@pytest.mark.parametrize("shown", [True, False])
def test_progress_changes_no_item_and_obeys_the_setting(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with settings.override(progress=shown):
        assert list(progress(range(5), title="cells", total=5)) == [0, 1, 2, 3, 4]
    assert ("cells" in capsys.readouterr().err) == shown


def test_one_item_shows_no_bar() -> None:
    items = [1]
    assert progress(items, title="cells", total=1) is items
