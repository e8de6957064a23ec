"""The network of LPM: a perturbation, a readout and a context go in as embeddings, a value comes out."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class LPMNet(nn.Module):
    r"""Large perturbation model (Miladinovic et al. 2025), :math:`y = \mathrm{MLP}([z_C, z_P, z_R])`.

    The embedding of several perturbations at once is the mean of theirs. Parameter names are those of the published program.

    Parameters
    ----------
    n_contexts, n_perturbations, n_readouts
        Sizes of the three vocabularies.
    dim, hidden, layers, dropout
        Width of each embedding; width, number and dropout of the hidden layers.
    """

    def __init__(
        self,
        n_contexts: int,
        n_perturbations: int,
        n_readouts: int,
        *,
        dim: int = 32,
        hidden: int = 512,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.context_embedding_layer = nn.Embedding(n_contexts, dim)
        self.perturb_embedding_layer = nn.EmbeddingBag(n_perturbations, dim, mode="mean")
        self.readout_embedding_layer = nn.Embedding(n_readouts, dim)
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts += [nn.Linear(hidden if layer else 3 * dim, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.predictor = nn.Sequential(*parts, nn.Linear(hidden if layers else 3 * dim, 1))
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain("relu"))

    def forward(
        self,
        context: Int[Tensor, " rows"],
        perturbation: Int[Tensor, " members"],
        first: Int[Tensor, " rows"],
        readout: Int[Tensor, " rows"],
    ) -> Float[Tensor, " rows"]:
        """Value of every row; its perturbations are the members from `first` on, up to those of the next row."""
        parts = (
            self.context_embedding_layer(context),
            self.perturb_embedding_layer(perturbation, first),
            self.readout_embedding_layer(readout),
        )
        out: Tensor = self.predictor(torch.cat(parts, dim=1))
        return out.squeeze(1)
