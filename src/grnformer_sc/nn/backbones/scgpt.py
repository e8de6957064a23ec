"""The scGPT architecture (Cui et al. 2024): gene tokens, binned values, a post-norm encoder.

Written from its published description and file layout; parameter names follow that layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail, listing
from ..._core.files import read_text
from ..batch import CellBatch
from ..values import bin_of, count_of_bin
from .base import Backbone, BackboneConfig, Encoded, Read, built, first_query, masked_error, register_backbone
from .layers import feed_forward_of, post_norm_layers, run_layers
from .published import Published, fill, need_no_options, need_state, read_tensors

MASK_VALUE = -1.0
LARGEST_VALUE = 512.0
# files of flash attention name the joint projection otherwise than torch does
RENAMED = ((r"self_attn\._impl\.", "self_attn."), (r"self_attn\.Wqkv\.", "self_attn.in_proj_"))
UNUSED = ("grad_reverse_discriminator.", "flag_encoder.")  # parts of its training and of its perturbation task


@dataclass(frozen=True, slots=True, kw_only=True)
class ScGPTConfig(BackboneConfig):
    """Settings of scGPT.

    Attributes
    ----------
    hidden
        Width of the feed-forward part; None takes twice `dim`.
    n_bins
        Bins of a cell's visible counts, bin 0 (not expressed) included.
    mvc
        Predict masked values from the cell embedding too (masked value prediction for cell modelling), in the loss.
    cls
        Row of the token that stands for the cell; None adds one after the genes.
    batch_norm
        Normalise the embedded tokens over the batch, as some published files do.
    n_classes
        Classes of a published cell classifier (0: none).
    """

    hidden: int | None = None
    n_bins: int = 51
    mvc: bool = False
    cls: int | None = None
    batch_norm: bool = False
    n_classes: int = 0
    of_file: ClassVar[tuple[str, ...]] = ("cls", "mvc", "n_classes")

    def tokens(self) -> dict[str, Any]:
        """Choices of `grs.data.TokenSpec` that the backbone depends on."""
        return {"n_bins": self.n_bins}


class _TokenEncoder(nn.Module):
    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, dim)
        self.enc_norm = nn.LayerNorm(dim)

    def forward(self, index: Tensor) -> Tensor:
        return self.enc_norm(self.embedding(index))


class _ValueEncoder(nn.Module):
    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, value: Tensor) -> Tensor:
        h = functional.relu(self.linear1(value[..., None].clamp(max=LARGEST_VALUE)))
        return self.dropout(self.norm(self.linear2(h)))


class ValueDecoder(nn.Module):
    """Value of every token, each by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, 1)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Predict."""
        return self.fc(h).squeeze(-1)


class _CellDecoder(nn.Module):
    """Value of a gene from the cell: inner product of the cell with a query made from the gene."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gene2query = nn.Linear(dim, dim)
        self.W = nn.Linear(dim, dim, bias=False)

    def forward(self, cells: Tensor, genes: Tensor) -> Tensor:
        return torch.einsum("ctd,cd->ct", self.W(torch.sigmoid(self.gene2query(genes))), cells)


class _ClassDecoder(nn.Module):
    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self._decoder = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.LayerNorm(dim)
        )
        self.out_layer = nn.Linear(dim, n_classes)

    def forward(self, cells: Tensor) -> Tensor:
        return self.out_layer(self._decoder(cells))


class _Encoder(nn.Module):
    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__()
        hidden = 2 * config.dim if config.hidden is None else config.hidden
        self.layers = post_norm_layers(config, hidden)


@register_backbone("scgpt")
class ScGPT(Backbone):
    """Gene token + value embedding, the cell's token first, then post-norm encoder layers."""

    config: ScGPTConfig
    Config = ScGPTConfig
    gene_table = "encoder.embedding.weight"
    files = ("args.json", "vocab.json", "best_model.pt")
    published: ClassVar[Mapping[str, Any]] = {"dim": 512, "layers": 12, "heads": 8, "dropout": 0.2, "hidden": 512}

    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__(config)
        self.cls = config.n_genes if config.cls is None else config.cls
        self.typical = (config.n_bins - 1) / 2
        self.encoder = _TokenEncoder(config.n_genes + (config.cls is None), config.dim)
        self.value_encoder = _ValueEncoder(config.dim, config.dropout)
        self.bn = nn.BatchNorm1d(config.dim, eps=6.1e-5) if config.batch_norm else None
        self.transformer_encoder = _Encoder(config)
        self.decoder = ValueDecoder(config.dim) if config.value_head else None
        self.mvc_decoder = _CellDecoder(config.dim) if config.mvc else None
        self.cls_decoder = _ClassDecoder(config.dim, config.n_classes) if config.n_classes else None

    def embed_tokens(
        self, index: Int[Tensor, "cells places"], values: Float[Tensor, "cells places"]
    ) -> Float[Tensor, "cells places dim"]:
        """Sum of the embeddings of tokens and binned values."""
        h = self.encoder(index) + self.value_encoder(values)
        return h if self.bn is None else self.bn(h.transpose(1, 2)).transpose(1, 2)

    def embed(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Encoded:
        """Cell token with value 0, then the tokens; masked genes have the mask value."""
        values = self.values(batch.values, batch).masked_fill(batch.masked, MASK_VALUE)
        index = functional.pad(batch.genes, (1, 0), value=self.cls)
        first = first_query(batch)
        unread = (1, 1 + first) if first < batch.genes.shape[1] else (0, 0)
        return Encoded(self.embed_tokens(index, functional.pad(values, (1, 0))), functional.pad(silent, (1, 0)), unread)

    def encode(self, x: Encoded) -> Encoded:
        """Run all layers but the last."""
        return run_layers(x, list(self.transformer_encoder.layers)[: self.config.layers - 1])

    def last_layer(self, x: Encoded) -> Encoded:
        """Run the last layer."""
        return run_layers(x, [self.transformer_encoder.layers[self.config.layers - 1]])

    def feed_forward(self, x: Encoded) -> Encoded:
        """Run the feed-forward part of the last layer."""
        return x.with_h(feed_forward_of(self.transformer_encoder.layers, x.h))

    def read(self, x: Encoded, batch: CellBatch) -> Read:
        """Tokens as they are, the cell from its token."""
        cells, tokens = x.h[:, 0], x.h[:, 1:]
        if self.mvc_decoder is None:
            return Read(tokens, cells)
        return Read(tokens, cells, {"mvc": self.from_cell(cells, batch.genes)})

    def from_cell(
        self, cells: Float[Tensor, "cells dim"], genes: Int[Tensor, "cells tokens"]
    ) -> Float[Tensor, "cells tokens"]:
        """Values of genes from the cell embedding (only with `mvc`)."""
        return built(self.mvc_decoder, "mvc")(cells, self.encoder(genes))

    def classify(self, cells: Float[Tensor, "cells dim"]) -> Float[Tensor, "cells classes"]:
        """Scores of a published cell classifier (only with `n_classes`)."""
        return built(self.cls_decoder, "n_classes")(cells)

    def extra_loss(self, extra: Mapping[str, Tensor], batch: CellBatch) -> Float[Tensor, ""]:
        """Squared error of the masked bins predicted from the cell, with `mvc`."""
        if "mvc" not in extra:
            return super().extra_loss(extra, batch)
        return masked_error(extra["mvc"], self.values(batch.counts, batch), batch.masked)

    def places(self, batch: CellBatch) -> Int[Tensor, "cells tokens"]:
        """Tokens follow the cell's token in their order."""
        return torch.arange(1, batch.genes.shape[1] + 1, device=batch.genes.device).expand(batch.genes.shape)

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predicted bins."""
        return built(self.decoder, "value_head")(tokens)

    def values(self, counts: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Quantile bins among the visible counts of the cell."""
        return bin_of(counts, batch.edges)

    def counts(self, values: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts that bins stand for."""
        return count_of_bin(values, batch.edges)

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene."""
        return self.encoder.embedding.weight[: self.config.n_genes]

    def own_rows(self) -> list[int]:
        """Row of the cell's token."""
        return [self.cls]

    @classmethod
    def read_published(cls, path: Path, *, strict: bool = True, **options: Any) -> Published[ScGPT]:
        """Read a folder with `args.json`, `vocab.json` and `best_model.pt`."""
        need_no_options("scgpt", options)
        args, vocabulary = _read_json(path / "args.json"), read_vocabulary(path / "vocab.json")
        file = path / "best_model.pt"
        state = need_state(read_tensors(file), file)
        rows = state["encoder.embedding.weight"].shape[0] if "encoder.embedding.weight" in state else vocabulary.size
        if rows != vocabulary.size:
            raise fail(
                ValueError, "vocab.json must name every row of encoder.embedding.weight.",
                f"{vocabulary.size} tokens and {rows} rows.", "give the vocab.json that belongs to this best_model.pt.",
            )  # fmt: skip
        model = cls(_config(args, vocabulary, state)).eval()
        report = fill(model, state, source=file, rules=RENAMED, unused=UNUSED, strict=strict)
        return Published("scgpt", model, vocabulary, report)


def _config(args: Mapping[str, Any], vocabulary: pd.Index, state: Mapping[str, Tensor]) -> ScGPTConfig:
    """Sizes from args.json; the optional parts are those that the file holds."""
    style = args.get("input_emb_style", "continuous")
    if style != "continuous":
        raise fail(
            ValueError, "input_emb_style must be 'continuous'.", f"{style!r}.", "give a checkpoint of that kind."
        )
    heads = {name.split(".")[0] for name in state}
    classes = state.get("cls_decoder.out_layer.weight")
    return ScGPTConfig(
        n_genes=vocabulary.size,
        dim=args["embsize"],
        layers=args["nlayers"],
        heads=args["nheads"],
        hidden=args["d_hid"],
        dropout=float(args.get("dropout", 0.0)),
        n_bins=int(args.get("n_bins", 51)),
        cls=int(vocabulary.get_loc("<cls>")),
        value_head="decoder" in heads,
        mvc="mvc_decoder" in heads,
        batch_norm="bn" in heads,
        n_classes=0 if classes is None else classes.shape[0],
    )


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    needed = ("embsize", "nheads", "d_hid", "nlayers")
    if not isinstance(content, dict) or not set(needed) <= set(content):
        found = "no such file" if content is None else listing(content)
        raise fail(
            ValueError, f"{path.name} must hold {listing(needed)}.", f"{found}.", "give the folder as published."
        )
    return content


def gene_tokens(vocabulary: pd.Index) -> Int64[np.ndarray, " genes"]:
    """Tokens that stand for genes: those whose names are not in angle brackets."""
    return np.flatnonzero(~vocabulary.str.startswith("<")).astype(np.int64)


def read_vocabulary(path: Path) -> pd.Index:
    """Name of every token, from a dictionary of their numbers (JSON, also .gz)."""
    table = json.loads(read_text(path)) if path.is_file() else {}
    names = sorted(table, key=lambda name: table[name])
    found = next((f"{n!r} as number {table[n]} where {i} is due" for i, n in enumerate(names) if table[n] != i), "")
    found = found or ("" if "<cls>" in table else "no <cls>" if names else "no such file or no names")
    if found:
        raise fail(
            ValueError, f"{path.name} must number its tokens 0, 1, 2, ... and hold <cls>.", f"{found}.",
            "give the vocabulary that was published with the weights.",
        )  # fmt: skip
    return pd.Index(names, dtype=object)
