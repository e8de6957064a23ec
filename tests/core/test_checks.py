"""Every check says what was expected, what was found and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from grnformer_sc._core import checks
from grnformer_sc._core.optional import need

FORM = r"(?s).+ Found: .+ Fix: .+"
ONES = sp.csr_matrix(np.ones((2, 2), dtype=np.float32))
CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: checks.need_key({"a": 1}, "b", where="obsm", fix="run it first."), KeyError, r"needs 'b'.*\[a\]"),
    (lambda: checks.need_one_of("x", ("y", "z"), name="method"), ValueError, r"method must be one of \[y, z\].*'x'"),
    (lambda: checks.need_between(2, 0, 1, name="top"), ValueError, r"top must lie in \[0, 1\]"),
    (lambda: checks.need_between(float("nan"), 0, 1, name="top"), ValueError, "nan"),
    (lambda: checks.need_between("5", 0, 1, name="top"), TypeError, "top must be a number. Found: '5'"),
    (lambda: checks.need_unique(["a", ""], what="genes"), ValueError, r"must not be empty.*1 empty of 2.*position 1"),
    (lambda: checks.need_unique(["a", "b", "a"], what="genes"), ValueError, r"unique.*1 repeated: \[a\]"),
    (lambda: checks.need_finite_nonnegative(ONES * np.nan, what="RNA"), ValueError, "4 NaN or infinite"),
    (lambda: checks.need_finite_nonnegative(-ONES, what="RNA"), ValueError, "minimum -1"),
    (lambda: checks.need_counts(ONES * 0.5, what="RNA"), ValueError, r"raw counts.*0\.5.*layer='counts'"),
    (
        lambda: checks.need_nonempty_rows(np.zeros(2), pd.Index(["c1", "c2"]), what="RNA"),
        ValueError,
        r"2 all-zero.*\[c1, c2\]",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES)
def test_the_message_has_three_parts(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert pd.Series([str(caught.value)]).str.match(FORM).all()


def test_what_fits_passes() -> None:
    checks.need_key({"a": 1}, "a", where="obsm", fix="")
    checks.need_one_of("a", ("a",), name="x")
    checks.need_between(0.5, 0, 1, name="x")
    checks.need_unique(["a", "b"], what="genes")
    checks.need_counts(ONES, what="RNA")
    checks.need_counts(np.array([[1, 2]]), what="RNA")
    checks.need_counts(sp.csr_matrix((2, 2), dtype=np.float32), what="RNA")
    checks.need_nonempty_rows(np.ones(2), pd.Index(["a", "b"]), what="RNA")


def test_long_lists_are_cut_and_counted() -> None:
    assert checks.listing(range(12), shown=3) == "[0, 1, 2, ... (9 more)]"
    assert checks.listing("ab") == "[a, b]"


def test_names_come_with_those_most_like_them() -> None:
    assert checks.nearest(["GATA9", "x", "y", "z"], ["TP53", "GATA1"]).startswith("'GATA9' (nearest: [GATA1")
    assert checks.nearest(["a", "b", "c", "d"], ["e"]).endswith(", and 1 more")
    assert checks.nearest(["a"], []) == "'a' (nearest: [])"


def test_dense_and_sparse_give_the_same_verdict() -> None:
    for x in (ONES * 0.5, (ONES * 0.5).toarray()):
        with pytest.raises(ValueError, match=r"values such as 0\.5"):
            checks.need_counts(x, what="RNA")


@pytest.mark.parametrize(
    ("options", "line"),
    [({"extra": "motif"}, r"pip install 'grnformer-sc\[motif\]'"), ({"package": "pkg"}, "pip install pkg")],
)
def test_a_missing_package_names_the_line_that_installs_it(options: dict[str, str], line: str) -> None:
    with pytest.raises(ImportError, match=line):
        need("no_such_module_here", **options)


def test_an_installed_package_is_returned() -> None:
    assert need("numpy") is np
