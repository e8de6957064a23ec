"""Reading of inputs, shared by the tools."""

from .._core.inputs import Barcodes, find_group, read_counts, resolve

__all__ = ["Barcodes", "find_group", "read_counts", "resolve"]
