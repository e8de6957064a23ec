"""Train a GRNFormer and write what it learned."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.inputs import resolve
from .._core.keys import GrnKeys, ModelKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike
from ..model.registration import undone_by_errors

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import GRNFormer, ModelConfig

logger = logging.getLogger(__name__)


def fit(
    adata: AnnData,
    *,
    backbone: str = "scgpt",
    layer: str | None = None,
    grn_key: str = "grn",
    use_grn: bool = True,
    gate: Literal["auto", "region", "neighbour", "gene"] = "auto",
    keys: Literal["tf", "all"] = "all",
    alpha: float = 0.2,
    perturb: Literal["coexpression", "random", "none"] = "coexpression",
    loss: Literal["poisson", "nb", "mse"] = "poisson",
    checkpoint: Any = None,
    gene_embedding: str | Path | pd.DataFrame | None = None,
    max_epochs: int | None = None,
    batch_size: int | Literal["auto"] = 64,
    accelerator: str = "auto",
    devices: Any = "auto",
    rng: RngLike = 0,
    key_added: str = "grnformer",
    rna: str = "rna",
    model_settings: dict[str, Any] | None = None,
    train_settings: dict[str, Any] | None = None,
    checkpoint_dir: str | Path | None = None,
    resume_from: str | Path | None = None,
) -> GRNFormer:
    """Train a GRNFormer on cells with a network, and write embeddings and attention.

    An expression model learns to predict masked counts; its last layer attends to the network of the cell (Qiu et al.
    2025, arXiv 2503.01682; the tool of the same name by Hegde and Cheng 2026 is another one). The loss is the Poisson
    likelihood of the masked counts, zeros included, given a size factor of the visible genes: counts are what is
    measured, and in sparse cells ranks (scGPT's squared error on binned values, `loss="mse"`) keep little of them. The
    expression model is trained from scratch, or starts from a published checkpoint.

    Parameters
    ----------
    adata
        RNA cells with the slots of `grs.tl.build_grn`, or a MuData that holds them.
    backbone
        Registered expression model: `"scgpt"`, `"scfoundation"`, `"scpalm"`, `"geneformer"`, `"genecompass"`, `"scgenept"`
        (needs `checkpoint` or `gene_embedding`) or `"scprint"`.
    layer
        Layer with raw counts; None reads `.X`.
    grn_key
        Base name of the network's slots.
    use_grn
        False trains the same model without the network: the control.
    gate
        Which eRegulons are on while genes are masked: `"region"` by accessibility, `"neighbour"` by the majority of the
        nearest training cells, `"auto"` the first of them that the data allows, `"gene"` by the cell's own expression
        (the paper's choice; it tells the model about the masked counts).
    keys
        Nodes that attention reads: all genes of the network or its TFs.
    alpha, perturb
        Share of the edges replaced in every training step, and by what.
    loss
        Training objective: `"poisson"`, `"nb"` (a dispersion per gene), or `"mse"`, the backbone's own (squared error of its
        values).
    checkpoint
        Published weights of the backbone to start from: a folder or file for `grs.model.load_backbone`, what that
        returned, or a model of `grs.model.load_foundation`. Sizes of the backbone are then those of the checkpoint.
    gene_embedding
        Embedding of the genes to start from instead of weights: a DataFrame genes x dims, a key of `varm`, or a file
        (`.csv`, `.tsv`, `.parquet`; names in the first column). Its principal components become the gene table, the first
        ones where the table is narrower, and columns of zeros follow where it is wider; `"scgenept"` reads it in its own
        width as what is written about genes. Genes are matched by name; those that it lacks start from the mean, and are
        counted in `params`.
    max_epochs
        Passes over the training cells; None chooses by the number of cells.
    batch_size
        Cells that pass the network at once; `"auto"` takes as many as memory holds.
    accelerator, devices
        Passed to Lightning.
    rng
        Seed or generator.
    key_added
        Base name of the written slots.
    rna
        Modality of a MuData.
    model_settings, train_settings
        Further fields of `grs.model.ModelConfig` and `grs.model.TrainConfig`.
    checkpoint_dir
        Folder for the best and the last checkpoint; None writes no file.
    resume_from
        `checkpoint_dir` of a run that was cut off: it goes on, by the same settings and data, to the same weights.

    Returns
    -------
    The trained `grs.model.GRNFormer`. Sets in the RNA AnnData:

    `obsm["X_grnformer"]` : array (cells x dim, float32)
        Fused cell embedding.
    `varm["grnformer"]` : array (genes x dim, float32)
        Mean fused embedding of each gene over the cells that express it.
    `varm["grnformer_attention"]` : array (genes x groups, float32)
        Attention each gene receives, per group (not with `use_grn=False`).
    `uns["grnformer"]` : dict
        `params`, `history`, `group_names`, and with a network `attention` (top pairs per group) and `enrichment` (TFs
        against other genes, with degree-matched and expression-matched nulls).

    Raises
    ------
    KeyError
        Without a network, or without the bits that the gate needs.
    ValueError
        When the counts are no raw counts, no link of the network is among the genes, the checkpoint does not fit the
        backbone, its vocabulary or the embedding holds less than half of the genes, or a resumed run has other settings or
        data.
    FloatingPointError
        The loss or its gradient is not finite; the batch is named.
    MemoryError
        A training step does not fit into memory.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> mdata["rna"].obsm["X_grnformer"].shape[0]
    120
    """
    from ..model import GRNFormer, ModelConfig

    cells, _ = resolve(adata, rna, barcodes="exact")
    own: dict[str, Any] = {
        "backbone": backbone, "use_grn": use_grn, "gate": gate, "keys": keys, "alpha": alpha, "perturb": perturb,
        "loss": loss,
    }  # fmt: skip
    if twice := sorted(set(own) & set(model_settings or {})):
        raise fail(
            ValueError, "model_settings holds what is no argument of tl.fit.", f"{listing(twice)}.",
            "pass these as arguments.",
        )  # fmt: skip
    config = ModelConfig.from_dict({**own, **(model_settings or {})})
    if checkpoint is not None and (fixed := sorted({"dim", "layers", "heads"} & set(model_settings or {}))):
        raise fail(
            ValueError, "the checkpoint fixes the sizes of the backbone.", f"model_settings with {listing(fixed)}.",
            "leave them out, or train from scratch (checkpoint=None).",
        )  # fmt: skip
    _check(cells, config, layer, grn_key)
    with step(logger, "tl.fit") as facts:
        with undone_by_errors(cells):
            GRNFormer.setup_anndata(cells, layer=layer, grn_key=grn_key)
            model = GRNFormer(cells, config, checkpoint=checkpoint, gene_embedding=gene_embedding)
            model.train(
                max_epochs, accelerator=accelerator, devices=devices, batch_size=batch_size, rng=rng,
                checkpoint_dir=checkpoint_dir, resume_from=resume_from, **(train_settings or {}),
            )  # fmt: skip
            _collect(model, ModelKeys(key_added), GrnKeys(grn_key), _named(gene_embedding)).write(cells)
        facts.append(f"{cells.n_obs} cells, {cells.n_vars} genes, {len(model.history)} epochs")
    return model


def _check(cells: AnnData, config: ModelConfig, layer: str | None, grn_key: str) -> None:
    """Find everything that can be wrong with the input before anything is written."""
    from ..data.fields import need_known_groups, read_cells, read_network
    from ..data.gates import choose_gate

    keys = GrnKeys(grn_key)
    network = read_network(cells, grn_key, required=config.use_grn)
    data = read_cells(cells, network, layer=layer, keys=keys)
    need_known_groups(data, keys)
    if config.use_grn:
        choose_gate(config.gate, data)


def _named(embedding: str | Path | pd.DataFrame | None) -> dict[str, str]:
    """What the record says of a gene embedding: its name, of a table its shape."""
    if embedding is None:
        return {}
    return {"gene_embedding": f"DataFrame {embedding.shape}" if isinstance(embedding, pd.DataFrame) else str(embedding)}


def _collect(model: GRNFormer, keys: ModelKeys, grn: GrnKeys, embedding: dict[str, str]) -> Results:
    """Read the trained model out."""
    context, train_config = model.trained_state()
    batch_size, out = int(train_config.batch_size), Results(stale=[("varm", keys.attention)])
    out.obsm[keys.embedding] = model.get_latent_representation(batch_size=batch_size)
    out.varm[keys.genes] = model.get_gene_embeddings(batch_size=batch_size).to_numpy()
    out.uns[keys.uns] = {
        "params": recipe(
            "tl.fit",
            {"model": model.config.to_dict(), "train": train_config.to_dict(), "gate": context.gate},
            inputs={"counts": model.layer or "X", "network": grn.uns, **embedding},
            dropped={} if model.start is None else {f"genes without {model.start.what}": model.start.n_lost},
        ),
        "history": model.history,
        "group_names": np.asarray(model.network.group_names, dtype=object),
    }
    if model.config.use_grn:
        attention = model.get_attention(batch_size=batch_size)
        out.varm[keys.attention] = attention.received
        out.uns[keys.uns] |= {"attention": attention.edges, "enrichment": attention.enrichment}
    return out
