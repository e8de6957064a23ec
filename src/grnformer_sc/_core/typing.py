"""Types of arguments."""

from __future__ import annotations

Number = float | int  # type checkers let an int pass for a float, the run-time checks of the tests do not
