"""Overlapping intervals: by hand, and against a double loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grnformer_sc.grn.intervals import overlapping


def table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


@pytest.mark.parametrize(
    ("start", "end", "fraction", "meets"),
    [
        (160, 400, 0.4, True),  # 40 of 100 bp
        (161, 400, 0.4, False),
        (120, 130, 0.4, True),  # a short one lies inside
        (0, 1000, 0.4, True),  # and a long one around
        (200, 300, 0.0, False),  # neighbours share nothing
        (199, 300, 0.0, True),
    ],
)
def test_shares_of_the_shorter_interval_by_hand(start, end, fraction, meets):
    i, j = overlapping(table(("chr1", 100, 200)), table(("chr1", start, end)), fraction=fraction)
    assert (i.tolist(), j.tolist()) == (([0], [0]) if meets else ([], []))


def test_chromosomes_are_kept_apart():
    one = table(("chr1", 100, 200), ("chr2", 100, 200))
    i, j = overlapping(one, table(("chr2", 100, 200), ("chr3", 100, 200)), fraction=0.4)
    assert (i.tolist(), j.tolist()) == ([1], [0])


intervals = st.lists(st.tuples(st.sampled_from("XY"), st.integers(0, 60), st.integers(1, 40)), max_size=25)


@given(intervals, intervals, st.sampled_from([0.0, 0.4, 1.0]))
def test_equal_to_a_double_loop(first, second, fraction):
    one, two = (table(*((c, s, s + n) for c, s, n in rows)) for rows in (first, second))
    slow = []
    for i, (c, s, n) in enumerate(first):
        for j, (d, t, m) in enumerate(second):
            shared = min(s + n, t + m) - max(s, t)
            if c == d and shared > 0 and shared >= fraction * min(n, m):
                slow.append((i, j))
    i, j = overlapping(one, two, fraction=fraction)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == slow
    assert i.dtype == np.int64
