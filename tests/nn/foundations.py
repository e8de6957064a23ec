"""Small foundation models with random weights, and their files in the published layout."""

from __future__ import annotations

import json
import math
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
            value.mul_(20 if isinstance(model, grs.model.Geneformer) else 3)
    return model


SMALL = {
    "geneformer": lambda: grs.model.Geneformer.untrained(MEDIANS, dim=8, heads=2, n_places=N_PLACES, framed=True),
    "scgpt": lambda: grs.model.ScGPT.untrained(GENES, dim=8, heads=2, n_places=N_PLACES, n_bins=9),
    "scprint": lambda: grs.model.ScPRINT.untrained(
        GENES, dim=8, heads=2, n_context=N_PLACES - 4, n_classes=3, places=range(0, 2500, 100)
    ),
    "genecompass": lambda: grs.model.GeneCompass.untrained(
        GENES, dim=8, heads=2, n_places=N_PLACES, medians=MEDIANS, names={"ALIAS": "G4"}
    ),
    "scgenept": lambda: grs.model.ScGenePT.untrained(
        GENES, dim=8, heads=2, n_context=N_PLACES, languages=("genept", "process")
    ),
    "scgenept of expressed genes": lambda: grs.model.ScGenePT.untrained(
        GENES, dim=8, heads=2, n_context=N_PLACES, zero_genes=False
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


def scgenept_state(
    n_tokens: int = 27,
    *,
    branches: tuple[str, ...] = ("genept_encoder",),
    width: int = 6,
    d: int = 8,
    flash: bool = True,
) -> dict[str, torch.Tensor]:
    """Weights of an scGenePT under the published names, joint projections as flash attention or torch calls them."""
    joint = "self_attn.Wqkv." if flash else "self_attn.in_proj_"
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.embedding.weight": (n_tokens, d), "value_encoder.linear1.weight": (d, 1),
        "value_encoder.linear1.bias": (d,), "value_encoder.linear2.weight": (d, d), "value_encoder.linear2.bias": (d,),
        "pert_encoder.weight": (3, d), "mvc_decoder.W.weight": (d, d), "cls_decoder.out_layer.bias": (4,),
    }  # fmt: skip
    shapes |= {
        f"{at}.{part}": (d,) for at in ("encoder.enc_norm", "value_encoder.norm", "ln") for part in ("weight", "bias")
    }
    shapes |= {f"decoder.fc.{i}.weight": (1 if i == 4 else d, d) for i in (0, 2, 4)}
    shapes |= {f"decoder.fc.{i}.bias": (1 if i == 4 else d,) for i in (0, 2, 4)}
    for branch in branches:
        proj = f"{branch}.{'proj_layer' if branch == 'genept_encoder' else 'fc'}."
        shapes |= {f"{branch}.embedding.weight": (n_tokens, width), proj + "weight": (d, width), proj + "bias": (d,)}
        shapes |= {f"{branch}.enc_norm.{part}": (d,) for part in ("weight", "bias")}
    for i in range(3):
        at = f"transformer_encoder.layers.{i}."
        shapes |= {at + joint + "weight": (3 * d, d), at + joint + "bias": (3 * d,)}
        shapes |= {at + "self_attn.out_proj.weight": (d, d), at + "self_attn.out_proj.bias": (d,)}
        shapes |= {f"{at}norm{n}.{part}": (d,) for n in (1, 2) for part in ("weight", "bias")}
        shapes |= {at + "linear1.weight": (12, d), at + "linear1.bias": (12,)}
        shapes |= {at + "linear2.weight": (d, 12), at + "linear2.bias": (d,)}
    return random_state(shapes)


def write_scgenept(folder: Path, state: dict[str, Any] | None = None, names: list[str] | None = None) -> Path:
    """Weights, and the vocabulary and settings of the scGPT that they were made from."""
    folder.mkdir(exist_ok=True)
    torch.save(scgenept_state() if state is None else state, folder / "scgenept_genept.pt")
    vocabulary = [*GENES, "<pad>", "<cls>"] if names is None else names
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(vocabulary)}))
    (folder / "args.json").write_text(json.dumps({"nheads": 2, "embsize": 8}))
    return folder


def bert_shapes(n_tokens: int, n_places: int, *, d: int = 8, hidden: int = 12) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a BERT of three layers in files of Hugging Face."""
    e = "bert.embeddings."
    shapes: dict[str, tuple[int, ...]] = {
        e + "word_embeddings.weight": (n_tokens, d), e + "position_embeddings.weight": (n_places, d),
        e + "token_type_embeddings.weight": (2, d), e + "LayerNorm.weight": (d,), e + "LayerNorm.bias": (d,),
    }  # fmt: skip
    for i in range(3):
        at = f"bert.encoder.layer.{i}."
        square = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        shapes |= {f"{at}{name}.weight": (d, d) for name in square} | {f"{at}{name}.bias": (d,) for name in square}
        shapes |= {f"{at}{n}.LayerNorm.{p}": (d,) for n in ("attention.output", "output") for p in ("weight", "bias")}
        shapes |= {
            at + "intermediate.dense.weight": (hidden, d), at + "intermediate.dense.bias": (hidden,),
            at + "output.dense.weight": (d, hidden), at + "output.dense.bias": (d,),
        }  # fmt: skip
    return shapes


def norm(x: np.ndarray, w: dict[str, np.ndarray], at: str, eps: float = 1e-12) -> np.ndarray:
    """Normalisation of a layer."""
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return x * w[at + ".weight"] + w[at + ".bias"]


def linear(x: np.ndarray, w: dict[str, np.ndarray], at: str) -> np.ndarray:
    """Linear map."""
    return x @ w[at + ".weight"].T + w[at + ".bias"]


def bert_layers(w: dict[str, np.ndarray], h: np.ndarray, activation: str = "relu") -> list[np.ndarray]:
    """What goes into every layer of a BERT with two heads of width 4, and what comes out: the equations, cell by cell."""

    def act(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0) if activation == "relu" else x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    out = [h]
    for i in range(3):
        at = f"encoder.layer.{i}."
        q, k, v = (linear(h, w, f"{at}attention.self.{name}") for name in ("query", "key", "value"))
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            score = q[:, part] @ k[:, part].T / 2.0
            a = np.exp(score - score.max(1, keepdims=True))
            heads.append(a / a.sum(1, keepdims=True) @ v[:, part])
        h = norm(h + linear(np.hstack(heads), w, at + "attention.output.dense"), w, at + "attention.output.LayerNorm")
        h = norm(
            h + linear(act(linear(h, w, at + "intermediate.dense")), w, at + "output.dense"), w, at + "output.LayerNorm"
        )
        out.append(h)
    return out
