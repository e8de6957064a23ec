"""Dictys (Wang et al. 2023): links as the drift of a stochastic process whose steady state is seen through counting."""

from __future__ import annotations
