"""scRank (Li et al. 2024): networks of principal-component regressions, and what the loss of a gene shifts in them."""

from __future__ import annotations
