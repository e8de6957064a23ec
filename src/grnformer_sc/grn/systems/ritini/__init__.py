"""RiTINI (2024): attention between genes that changes along a trajectory, written from its equations."""

from __future__ import annotations
