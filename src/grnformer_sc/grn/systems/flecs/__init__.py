"""FLeCS (Bertin et al. 2025): a network as coupled differential equations, written from its equations."""

from __future__ import annotations
