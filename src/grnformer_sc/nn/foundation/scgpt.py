"""scGPT (Cui et al. 2024) as it is read: its backbone, layer by layer."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor

from ..backbones import ScGPT
from ..backbones.layers import PostNormLayer
from .base import FoundationNet, Sequences


class ScGPTNet(FoundationNet):
    """Encoder of tokens and binned values."""

    def __init__(self, backbone: ScGPT, *, n_places: int) -> None:
        super().__init__()
        self.backbone, config = backbone, backbone.config
        self.n_tokens, self.n_places = config.n_genes, n_places
        self.dim, self.n_layers, self.heads = config.dim, config.layers, config.heads

    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Sum of the embeddings of tokens and values."""
        values = x.index.new_zeros(x.index.shape) if x.values is None else x.values
        return self.backbone.embed_tokens(x.index, values.float())

    def projections(self, number: int, h: Float[Tensor, "cells places dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of one layer."""
        return self._layer(number).self_attn.projections(h)

    def after_attention(
        self, number: int, h: Float[Tensor, "cells places dim"], heard: Float[Tensor, "cells places dim"]
    ) -> Float[Tensor, "cells places dim"]:
        """Rest of one layer."""
        layer = self._layer(number)
        return layer.feed_forward(layer.norm1(h + layer.self_attn.out_proj(heard)))

    @property
    def decodes(self) -> bool:
        """Whether the file holds the head that predicts masked values."""
        return self.backbone.decoder is not None

    def expression(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places"]:
        """Predicted values."""
        return super().expression(h) if self.backbone.decoder is None else self.backbone.predict(h)

    def _layer(self, number: int) -> PostNormLayer:
        return cast("PostNormLayer", self.backbone.transformer_encoder.layers[number])

    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """Normalised table of tokens."""
        return self.backbone.encoder.enc_norm(self.backbone.encoder.embedding.weight)
