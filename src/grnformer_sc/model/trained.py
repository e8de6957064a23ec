"""What a trained model can be asked: embeddings, attention, the error of masked counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import torch
from scvi.model.base import BaseModelClass

from .._core.checks import fail
from .._core.keys import GrnKeys
from .._core.rng import RngLike, as_root
from ..data.batch import Collator
from ..data.fields import CellData, read_cells
from ..grn.network import Network
from ..nn.fusion import GRNFormerNet
from . import inference
from .attention import AttentionSummary, summarise
from .config import ModelConfig
from .context import Context
from .gene_embedding import StartEmbedding
from .pretrained import StartWeights
from .query import Origin
from .train_config import TrainConfig

if TYPE_CHECKING:
    from anndata import AnnData


class TrainedModel(BaseModelClass):
    """State of a model, and everything that is read from it batch by batch."""

    config: ModelConfig
    network: Network
    genes: pd.Index
    layer: str | None
    grn_key: str
    start: StartWeights | StartEmbedding | None
    origin: Origin | None = None  # trained model that training goes on from
    train_config: TrainConfig | None
    context: Context | None
    module: GRNFormerNet | None
    history_: pd.DataFrame

    def _reset(self) -> None:
        self.train_config = self.context = self.module = None
        self.history_ = pd.DataFrame()

    @property
    def device(self) -> str:
        """Where the weights lie (a trained model works there)."""
        return str(next(self._net().parameters()).device)

    def to_device(self, device: str | int | torch.device) -> None:
        """Move the trained model.

        Parameters
        ----------
        device
            torch device, such as "cpu" or "cuda:0".
        """
        self._net().to(device)

    def get_latent_representation(
        self, adata: AnnData | None = None, *, indices: np.ndarray | None = None, batch_size: int = 64
    ) -> np.ndarray:
        """Fused embedding of cells (float32, cells x dim), with no gene masked.

        Parameters
        ----------
        adata
            Cells; None takes the data of the model. Genes are matched by name; cells without a known group get that of
            their nearest training cells.
        indices
            Rows to embed; None takes all.
        batch_size
            Cells per step.
        """
        collator, rows = self._collator(adata, indices)
        return inference.embed_cells(self._net(), collator, rows, batch_size=batch_size)

    def get_gene_embeddings(self, adata: AnnData | None = None, *, batch_size: int = 64) -> pd.DataFrame:
        """Mean fused embedding of each gene over the cells that express it (genes x dim; zeros without such cells)."""
        collator, rows = self._collator(adata, None)
        values = inference.embed_genes(self._net(), collator, rows, batch_size=batch_size)
        return pd.DataFrame(values, index=self.genes, columns=[str(i) for i in range(values.shape[1])])

    def get_attention(
        self, adata: AnnData | None = None, *, top: int = 1000, batch_size: int = 64, rng: RngLike = 0
    ) -> AttentionSummary:
        """Attention that expressed genes pay to the nodes of the network, per group.

        Parameters
        ----------
        adata
            Cells; None takes the data of the model.
        top
            Strongest regulator-target pairs kept per group.
        batch_size
            Cells per step.
        rng
            Seed of the permutations.

        Returns
        -------
        `received` (genes x groups), `edges` (top pairs per group) and `enrichment` (TFs against other genes, with
        degree-matched and expression-matched nulls).
        """
        net, context = self._net(), self._trained()
        collator, rows = self._collator(adata, None)
        return summarise(
            net,
            collator,
            rows,
            network=self.network,
            genes=self.genes,
            group_rates=context.group_rates,
            top=top,
            batch_size=batch_size,
            root=as_root(rng),
        )

    def evaluate_masked(
        self,
        adata: AnnData | None = None,
        *,
        indices: np.ndarray | None = None,
        batch_size: int = 64,
        rng: RngLike = 0,
    ) -> pd.DataFrame:
        """Poisson deviance of masked counts, zeros included, beside baselines that know no network.

        Parameters
        ----------
        adata
            Held-out cells scored with the model's network (`grs.tl.cell_grn`). None takes the validation cells of the
            model's own data, whose network may have been made from all cells: not a held-out error of the network.
        indices
            Rows to evaluate.
        batch_size
            Cells per step.
        rng
            Seed of the masks.

        Returns
        -------
        Predictors as rows (`model`; `gene rate`: rate of the gene x visible size factor; `type rate`: rate of the gene
        in the cell's group x visible size factor), with `deviance` and `n_counts`.
        """
        if adata is None and indices is None and self.is_trained_:
            indices = self.validation_indices_
        collator, rows = self._collator(adata, indices)
        context = self._trained()
        return inference.evaluate(
            self._net(),
            collator,
            rows,
            context.group_rates,
            config=self.config,
            batch_size=batch_size,
            root=as_root(rng),
        )

    def trained_state(self) -> tuple[Context, TrainConfig]:
        """What was computed from the training cells, and the settings of the training."""
        if self.context is None or self.train_config is None:
            raise fail(RuntimeError, "the model must be trained.", "an untrained model.", "call model.train() first.")
        return self.context, self.train_config

    def _trained(self) -> Context:
        return self.trained_state()[0]

    def _net(self) -> GRNFormerNet:
        self._trained()
        return cast("GRNFormerNet", self.module)

    def _cells(self, adata: AnnData | None) -> CellData:
        adata = self.adata if adata is None else adata
        if adata is None:
            raise fail(
                ValueError,
                "the model holds no data.",
                "a model loaded without AnnData.",
                "pass adata=, or load(dir, adata).",
            )
        return read_cells(adata, self.network, layer=self.layer, keys=GrnKeys(self.grn_key), genes=self.genes)

    def _collator(self, adata: AnnData | None, indices: np.ndarray | None) -> tuple[Collator, np.ndarray]:
        context, cells = self._trained(), self._cells(adata)
        rows = np.arange(cells.n_cells) if indices is None else np.asarray(indices)
        return context.collator(cells, self.network, self.config.tokens), rows
