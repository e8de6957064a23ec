"""A network from the large perturbation model (Miladinovic et al. 2025): what it predicts of every knocked-out gene."""

from __future__ import annotations
