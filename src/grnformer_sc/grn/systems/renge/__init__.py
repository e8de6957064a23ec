"""RENGE (Ishikawa et al. 2023): networks from knock-outs in a time series, written from its equations."""

from __future__ import annotations
