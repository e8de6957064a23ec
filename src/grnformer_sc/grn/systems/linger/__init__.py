"""LINGER (Yuan & Duren 2024): a small network per gene that remembers what other data taught it."""

from __future__ import annotations
