"""Small foundation models with random weights, and their files in the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import grnformer_sc as grs

GENES = [f"G{i}" for i in range(25)]
MEDIANS = dict(zip(GENES, np.random.default_rng(1).lognormal(size=25).tolist(), strict=True))
N_PLACES = 14  # fewer than some cells have genes


def enlarged(model: Any) -> Any:
    """The same model with weights so large that shifts are no rounding errors."""
    for name, value in model.net.named_parameters():
        if "norm" not in name:
            value.mul_(20 if isinstance(model, grs.model.Geneformer) else 2)
    return model


SMALL = {
    "geneformer": lambda: grs.model.Geneformer.untrained(MEDIANS, dim=8, heads=2, n_places=N_PLACES, framed=True),
    "scgpt": lambda: grs.model.ScGPT.untrained(GENES, dim=8, heads=2, n_places=N_PLACES, n_bins=9),
    "scprint": lambda: grs.model.ScPRINT.untrained(
        GENES, dim=8, heads=2, n_context=N_PLACES - 4, n_classes=3, places=range(0, 2500, 100)
    ),
}


class Trap:
    """What an attacker puts into a pickle."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.file), "w")


def random_state(shapes: dict[str, tuple[int, ...]], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under some names."""
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=rng) * 0.5 for name, shape in shapes.items()}


def scprint_state(n_genes: int = 25, *, n_classes: int = 3, layers: int = 3, d: int = 8) -> dict[str, torch.Tensor]:
    """Weights of an scPRINT under the names of its checkpoints."""
    shapes: dict[str, tuple[int, ...]] = {
        "gene_encoder.embeddings.weight": (n_genes, d), "class_encoder.embedding.weight": (n_classes, d),
        "pos_encoder.pe": (n_genes, 1, d), "transformer.norm.weight": (d,), "transformer.norm.bias": (d,),
        "expr_decoder.fc.0.weight": (d, d), "cls_decoders.sex.out_layer.weight": (2, d),
        "grad_reverse_discriminator_loss.x.weight": (2, d),
    }  # fmt: skip
    for kind in ("expr", "depth"):
        at = f"{kind}_encoder.encoder."
        shapes |= {at + "0.weight": (d, 1), at + "4.weight": (d, d), at + "1.weight": (d,)}
        shapes |= {f"{at}{i}.bias": (d,) for i in (0, 1, 4)}
    for i in range(layers):
        at = f"transformer.blocks.{i}."
        shapes |= {at + "mixer.Wqkv.weight": (3 * d, d), at + "mixer.Wqkv.bias": (3 * d,)}
        shapes |= {at + "mixer.out_proj.weight": (d, d), at + "mixer.out_proj.bias": (d,)}
        shapes |= {f"{at}norm{n}.{part}": (d,) for n in (1, 2) for part in ("weight", "bias")}
        shapes |= {at + "mlp.fc1.weight": (4 * d, d), at + "mlp.fc1.bias": (4 * d,)}
        shapes |= {at + "mlp.fc2.weight": (d, 4 * d), at + "mlp.fc2.bias": (d,)}
    return random_state(shapes)


def write_scprint(
    folder: Path, *, state: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **others: Any
) -> Path:
    """A checkpoint of Lightning; settings that are None are left out."""
    folder.mkdir(exist_ok=True)
    known = {
        "genes": GENES, "organisms": ["NCBITaxon:9606"], "d_model": 8, "nhead": 2, "nlayers": 3, "normalization": "sum",
        "classes": {"sex": 2, "disease": 4}, "label_decoders": {"sex": {0: "male", 1: "female"}}, "layers_cls": [8],
        "expr_emb_style": "continuous", "expr_encoder_layers": 2, "dropout": 0.1, "transformer": "flash",
    }  # fmt: skip
    known = {name: value for name, value in (known | (settings or {})).items() if value is not None}
    content = {
        "epoch": 3, "pytorch-lightning_version": "2.5.0", "state_dict": scprint_state() if state is None else state,
        "hyper_parameters": known, "callbacks": {}, "optimizer_states": [{"state": {0: torch.ones(2)}}],
    }  # fmt: skip
    torch.save(content | others, folder / "small.ckpt")
    return folder / "small.ckpt"
