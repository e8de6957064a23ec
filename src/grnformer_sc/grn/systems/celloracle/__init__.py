"""CellOracle (Kamimoto et al. 2023): bagged ridge regression of every group on the TFs of a base network."""

from __future__ import annotations
