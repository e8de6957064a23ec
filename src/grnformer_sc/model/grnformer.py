"""GRNFormer: the model class. It only conducts: data, network, plan and files live in their own modules."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import pandas as pd
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField
from scvi.model.base import BaseModelClass

from .._core.checks import fail
from .._core.compute import device_of
from .._core.params import versions
from .._core.rng import RngLike, as_root
from ..data.fields import read_network
from ..data.module import split_cells
from . import io
from .assemble import ModelLoss, build_net
from .config import ModelConfig
from .context import Context
from .gene_embedding import GeneEmbedding, StartEmbedding, start_from_embedding
from .plan import TrainingPlan
from .pretrained import MIN_MATCHED, Checkpoint, StartWeights, start_from
from .query import Freeze, begin, carry_over, recipe
from .resume import root_of
from .run import Run, train_network
from .train_config import TrainConfig
from .trained import TrainedModel

if TYPE_CHECKING:
    from anndata import AnnData

    from .net import CellSummaryNet

logger = logging.getLogger(__name__)

COUNTS = "X"  # registry key of the counts


class GRNFormer(TrainedModel):
    """Expression model whose last layer attends to the gene regulatory network of the cell.

    After Qiu et al. 2025 (arXiv 2503.01682), of which no code is public; another tool of the same name (Hegde and
    Cheng 2026) predicts links. Set the data up with `setup_anndata`, train, read embeddings and attention.

    Parameters
    ----------
    adata
        RNA cells registered by `setup_anndata`.
    config
        Size and choices of the model.
    checkpoint
        Published weights to start from: a path for `grs.model.load_backbone`, what that returned, or a foundation model
        that was read (`grs.model.load_foundation`). The sizes of the
        backbone are then those of the checkpoint, and its last layer gives way to the adapter. Genes are matched by name;
        those that its vocabulary does not hold start from the mean embedding.
    gene_embedding
        Embedding of the genes to start from instead of weights: a DataFrame genes x dims, a key of `varm`, or a file
        (`.csv`, `.tsv`, `.parquet`). See `grs.tl.fit`.
    min_matched
        Least share of the genes that the vocabulary or the embedding must hold.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.ModelConfig(dim=16, layers=1).heads
    2
    """

    def __init__(
        self,
        adata: AnnData,
        config: ModelConfig | None = None,
        *,
        checkpoint: Checkpoint | None = None,
        gene_embedding: GeneEmbedding | None = None,
        min_matched: float = MIN_MATCHED,
    ) -> None:
        super().__init__(adata)
        self.config = config or ModelConfig()
        self.start: StartWeights | StartEmbedding | None = None
        genes = pd.Index(adata.var_names.astype(str))
        if checkpoint is not None and gene_embedding is not None:
            raise fail(
                ValueError,
                "a model starts from published weights or from a gene embedding.",
                "both.",
                "pass one of them.",
            )
        if gene_embedding is not None:
            self.config, self.start = start_from_embedding(
                gene_embedding, adata, self.config, genes, min_matched=min_matched
            )
        if checkpoint is not None:
            self.config, self.start = start_from(checkpoint, self.config, genes, min_matched=min_matched)
        setup = self.registry_["setup_args"]
        self.layer, self.grn_key = setup["layer"], setup["grn_key"]
        self.network = read_network(adata, self.grn_key, required=self.config.use_grn)
        self.genes = genes
        self._reset()

    @classmethod
    def setup_anndata(cls, adata: AnnData, *, layer: str | None = None, grn_key: str = "grn", **kwargs: Any) -> None:
        """Register the counts of an AnnData and name its network.

        Parameters
        ----------
        adata
            RNA cells with the slots of `grs.tl.build_grn`.
        layer
            Layer with raw counts; None reads `.X`.
        grn_key
            Base name of the network's slots.
        kwargs
            For scvi-tools, when it registers new data like old data.
        """
        if adata.is_view:
            raise fail(ValueError, "setup needs an AnnData of its own.", "a view.", "call adata = adata.copy() first.")
        arguments = {"layer": layer, "grn_key": grn_key}
        method = {"model_name": cls.__name__, "setup_method_name": "setup_anndata", "setup_args": arguments}
        counts = LayerField(
            COUNTS, layer, is_count_data=False, correct_data_format=False
        )  # we check, and never rewrite
        manager = AnnDataManager([counts], setup_method_args=method)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: Any = "auto",
        batch_size: int | Literal["auto"] = 64,
        train_size: float = 0.9,
        early_stopping: bool = True,
        lr: float = 3e-3,
        rng: RngLike = 0,
        checkpoint_dir: str | Path | None = None,
        resume_from: str | Path | None = None,
        **settings: Any,
    ) -> None:
        """Train on masked counts; the weights of the best epoch are kept.

        Rates, neighbours and co-expression come from the training cells only. Dropout, masks and replaced edges follow
        from `rng`: on one machine at a fixed number of threads the same `rng` gives the same weights (on a GPU to rounding,
        with ``torch.use_deterministic_algorithms(True)`` to the last bit). Counts that lie on disk (backed h5ad, zarr) are
        read batch by batch and give the same weights as in memory. The model stays on the device it was trained on
        (`to_device` moves it).

        Parameters
        ----------
        max_epochs
            Passes over the training cells; None chooses by the number of cells.
        accelerator, devices
            Passed to Lightning.
        batch_size
            Cells that pass the network at once; `"auto"` takes as many as memory holds.
        train_size
            Share of the cells that is trained on; the rest is the validation set.
        early_stopping
            Stop when the validation loss no longer improves.
        lr
            Largest learning rate.
        rng
            Seed or generator; ignored when resuming.
        checkpoint_dir
            Folder for the last and the best checkpoint; None writes no file, or goes on in the folder of `resume_from`.
        resume_from
            `checkpoint_dir` of a run that was cut off: training goes on as if it had not been, by the same settings.
        settings
            Other fields of `TrainConfig`.

        Raises
        ------
        ValueError
            A cell has no group of the network, or a resumed run has other settings or data.
        FloatingPointError
            The loss or its gradient is not finite; the batch is named.
        MemoryError
            A step does not fit into memory.
        """
        own = {
            "max_epochs": max_epochs, "batch_size": batch_size, "train_size": train_size,
            "early_stopping": early_stopping, "lr": lr,
        }  # fmt: skip
        config = TrainConfig.from_dict({**own, **settings})
        where = Run(
            accelerator=accelerator,
            devices=devices,
            checkpoint_dir=None if checkpoint_dir is None else Path(checkpoint_dir),
            resume_from=None if resume_from is None else Path(resume_from),
        )
        root = as_root(rng) if where.resume_from is None else root_of(where.resume_from)
        cells = self._cells(None)
        split = split_cells(cells.n_cells, train_size=train_size, root=root)
        context, net = begin(self, cells, split[0], root=root)
        self._reset()
        collator = context.collator(cells, self.network, self.config.tokens)
        plan = TrainingPlan(net, ModelLoss(self.config, net), config, root=root)
        self.history_ = train_network(plan, collator, split, where=where, model=recipe(self))
        trained = cast("CellSummaryNet", plan.net).to(where.device()).eval()
        self.module, self.context, self.train_config = trained, context, plan.config
        self.train_indices_, self.validation_indices_ = split
        self.is_trained_ = True

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write the trained model, its network and all it needs to a folder (safetensors, JSON, HDF5; no pickle).

        Parameters
        ----------
        dir_path
            The folder to make.
        overwrite
            Replace a model that is there.
        """
        context, train_config = self.trained_state()
        arrays, rest = context.to_arrays()
        split = {"train": self.train_indices_, "validation": self.validation_indices_}
        meta = {
            "class": type(self).__name__,
            "versions": versions(),
            "config": self.config.to_dict(),
            "train_config": train_config.to_dict(),
            "setup": {"layer": self.layer, "grn_key": self.grn_key},
            "genes": list(self.genes),
            "context": rest,
            "registry": io.registry_to_json(self.registry_),
        }
        io.write_folder(
            Path(dir_path),
            meta=meta,
            weights=self._net().state_dict(),
            arrays=arrays | {f"split.{name}": value for name, value in split.items()},
            network=self.network,
            history=self.history_,
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | None = None, *, device: str = "auto") -> Self:
        """Read a model; it works without the AnnData it was trained on.

        Parameters
        ----------
        dir_path
            Folder written by `save`.
        adata
            Becomes the data of the model; it must hold its genes in its order. Other data can be given to each method.
        device
            torch device; "auto" takes a GPU where there is one.
        """
        folder, place = Path(dir_path), device_of(device)
        meta, arrays = io.read_meta(folder), io.read_arrays(folder)
        model = cls.__new__(cls)
        genes = pd.Index(meta["genes"], dtype=object)
        if adata is None:
            BaseModelClass.__init__(model, registry=io.registry_from_json(meta["registry"]))
        else:
            _need_same_genes(adata, genes)
            cls.setup_anndata(adata, **meta["setup"])
            BaseModelClass.__init__(model, adata)
        model.config, model.start = ModelConfig.from_dict(meta["config"]), None
        model.layer, model.grn_key = meta["setup"]["layer"], meta["setup"]["grn_key"]
        model.network, model.genes = io.read_network_file(folder), genes
        model._reset()  # noqa: SLF001  (our own class)
        model.train_config = TrainConfig.from_dict(meta["train_config"])
        model.context = Context.from_arrays(arrays, meta["context"])
        model.module = build_net(model.config, model.context, model.network, model.genes, root=0).eval()
        io.load_weights(model.module, folder)
        model.to_device(place)
        model.history_ = io.read_history(folder)
        model.train_indices_, model.validation_indices_ = arrays["split.train"], arrays["split.validation"]
        model.is_trained_ = True
        return model

    @classmethod
    def load_query_data(cls, adata: AnnData, reference_model: Self | str | Path, *, freeze: Freeze = "none") -> Self:
        """Carry a trained model over to new cells, to read them as it is or to train it further on them.

        Genes, network, settings and weights are those of the trained model. So is what it keeps of its training cells: the
        rates, by which the size of a cell is judged and the predictions are offset, and the cells among which neighbours
        are found. `train` goes on from there (a smaller `lr` than from scratch is enough, such as 1e-3); the weights of
        the best epoch are kept.

        Parameters
        ----------
        adata
            New cells with raw counts where the trained model had them. Genes are matched by name; the loss is logged, more
            than half is an error, and missing genes are neither visible nor predicted. Cells without a group of the
            network take that of their nearest training cells, and without accessibility their bits; for `balance` they are
            one group, unless `grs.pp.map_reference` has told them apart.
        reference_model
            The trained model, or the folder it was saved to.
        freeze
            `"backbone"` trains the reading of the network and the heads only.

        Examples
        --------
        >>> import grnformer_sc as grs
        >>> mdata = grs.datasets.simulate_multiome(160, n_genes=80, n_tfs=10, n_types=2, rng=0)
        >>> new = mdata["rna"][120:].copy()
        >>> grs.tl.build_grn(mdata, groupby="cell_type")
        >>> trained = grs.tl.fit(mdata["rna"], max_epochs=1)
        >>> model = grs.model.GRNFormer.load_query_data(new, trained)
        >>> model.train(1, lr=1e-3)
        >>> model.get_latent_representation().shape[0]
        40
        """
        trained = reference_model if isinstance(reference_model, GRNFormer) else cls.load(reference_model)
        model = cls.__new__(cls)
        carry_over(model, trained, adata, freeze)
        return model

    def __repr__(self) -> str:
        n_links, c = len(self.network.edges), self.config
        state = f"trained for {len(self.history_)} epochs" if self.is_trained_ else "not trained"
        gate = c.gate if self.context is None else self.context.gate
        size = f"{self.genes.size} genes, {len(self.network.eregulons)} eRegulons ({n_links} links)"
        lines = [
            f"GRNFormer with {size}, {len(self.network.group_names)} groups",
            f"    backbone: {c.backbone}, dim {c.dim}, {c.layers} layers, {c.heads} heads",
            f"    network: {f'gate {gate!r}, alpha {c.alpha} ({c.perturb})' if c.use_grn else 'not used'}",
            f"    {state}",
        ]
        return "\n".join(lines)


def _need_same_genes(adata: AnnData, genes: pd.Index) -> None:
    if not pd.Index(adata.var_names.astype(str)).equals(genes):
        raise fail(
            ValueError, f"adata must hold the model's {genes.size} genes in its order.", f"{adata.n_vars} genes.",
            "load without adata and pass the data to each method: genes are then matched by name.",
        )  # fmt: skip
