"""Canonical labels of perturbed cells: sorted gene names, joined."""

from __future__ import annotations

CONTROL = "control"  # label of control cells
JOINT = "+"  # between the genes of a label


def genes_in(perturbation: str) -> tuple[str, ...]:
    """Genes of a canonical label."""
    return tuple(perturbation.split(JOINT))
