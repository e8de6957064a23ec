"""Triton kernels, imported on a GPU only: Triton comes with torch for CUDA on Linux."""
