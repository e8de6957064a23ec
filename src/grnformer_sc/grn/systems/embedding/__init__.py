"""Networks from a gene embedding: genes that lie in the direction of a regulator."""

from __future__ import annotations
