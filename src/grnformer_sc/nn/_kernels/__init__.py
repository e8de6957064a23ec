"""Numba kernels: plain arrays, no annotations, no imports from this package."""
