"""Links from scores of pairs that a foundation model gives."""
