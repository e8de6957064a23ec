"""LPM: values of readouts under perturbations in contexts, and what comes of combinations that nobody has measured."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.preprocessing import normalize
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from .._core.checks import fail, listing, need_between, need_key, need_one_of
from .._core.compute import device_of
from .._core.files import whole_file
from .._core.logging import step
from .._core.rng import RngLike, as_root, generator, seed_for
from .._core.settings import settings
from ..nn.backbones.published import fill, need_state, read_tensors
from ..nn.lpm import LPMNet
from .json_settings import JsonSettings, need_at_least
from .lpm_rows import Conditions, Vocabulary, rows_of

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Kind = Literal["context", "perturbation", "readout"]
FORMAT = 1
LARGEST_BATCH = 5000
SYMBOLS = ("context_symbols", "perturb_symbols", "readout_symbols")


@dataclass(frozen=True, slots=True, kw_only=True)
class LPMConfig(JsonSettings):
    """Size of an LPM and how it is trained; the defaults are those of the paper for Replogle's K562 screen.

    Attributes
    ----------
    dim, hidden, layers, dropout
        Width of each embedding; width, number and dropout of the hidden layers.
    lr, decay, weight_decay
        AdamW, whose learning rate is multiplied by `decay` after each epoch.
    batch_size, epochs
        Values per step (None: the paper's 5,000, and at most a sixteenth of the values, which small screens need for
        enough steps), passes over the values.
    """

    dim: int = 32
    hidden: int = 512
    layers: int = 2
    dropout: float = 0.0
    lr: float = 0.002
    decay: float = 0.99
    weight_decay: float = 0.01
    batch_size: int | None = None
    epochs: int = 50

    def __post_init__(self) -> None:
        need_at_least(self, 1, "dim", "hidden", "epochs", *(() if self.batch_size is None else ("batch_size",)))
        need_at_least(self, 0, "layers", "weight_decay", "lr")
        need_between(self.dropout, 0, 0.9, name="dropout")
        need_between(self.decay, 0, 1, name="decay")


class LPM:
    """Large perturbation model (Miladinovic et al. 2025): embeddings of perturbation, readout and context, and a decoder.

    Fit one with `LPM.fit`, read files with `LPM.load` or `LPM.load_published`. It knows nothing of genes but their names:
    a perturbation that was seen in no context, or a readout that was never measured, has no embedding.

    Parameters
    ----------
    net
        The network.
    vocabulary
        Names of contexts, perturbations and readouts.
    scale
        Standard deviation of the values it was trained on; predictions are multiplied by it.
    history
        Training loss per epoch.
    """

    def __init__(
        self, net: LPMNet, vocabulary: Vocabulary, *, scale: float = 1.0, history: pd.DataFrame | None = None
    ) -> None:
        self.net, self.vocabulary, self.scale = net.eval(), vocabulary, scale
        self.history = pd.DataFrame({"train_loss": []}) if history is None else history

    @classmethod
    def fit(
        cls,
        profiles: AnnData,
        config: LPMConfig | None = None,
        *,
        perturbation_key: str = "perturbation",
        context_key: str = "context",
        separator: str | None = "+",
        rng: RngLike = 0,
        device: str = "auto",
    ) -> Self:
        """Train on profiles: every value of the matrix is one example.

        Parameters
        ----------
        profiles
            One row per perturbation and context, such as `grs.pp.perturbation_profiles` makes; NaN are not measured.
        config
            Size and training.
        perturbation_key, context_key
            Columns of obs.
        separator
            What stands between several perturbations of one row ("A+B"); None takes every label as one.
        rng
            Seed or generator.
        device
            torch device; "auto" takes a GPU where there is one.

        Raises
        ------
        KeyError
            A column does not exist.
        ValueError
            There is no finite value.

        Examples
        --------
        >>> import numpy as np, anndata as ad, pandas as pd, grnformer_sc as grs
        >>> obs = pd.DataFrame({"perturbation": ["A", "B"], "context": ["x", "x"]}, index=["0", "1"])
        >>> profiles = ad.AnnData(np.eye(2, dtype="float32"), obs=obs, var=pd.DataFrame(index=["g", "h"]))
        >>> model = grs.model.LPM.fit(profiles, grs.model.LPMConfig(dim=4, hidden=8, epochs=1))
        >>> model.predict(["A", "A+B"], "x").shape
        (2, 2)
        """
        config, root = config or LPMConfig(), as_root(rng)
        for key in (perturbation_key, context_key):
            need_key(profiles.obs, key, where="profiles.obs", fix="name the column.")
        with step(logger, "LPM.fit") as facts, torch.random.fork_rng():
            values, conditions, vocabulary = rows_of(profiles, perturbation_key, context_key, separator)
            scale = float(np.nanstd(values)) or 1.0
            torch.manual_seed(seed_for(root, "weights") % 2**63)
            where = torch.device(device_of(device))
            net = LPMNet(
                *vocabulary.sizes, dim=config.dim, hidden=config.hidden, layers=config.layers, dropout=config.dropout
            ).to(where)
            history = _train(net, values / np.float32(scale), conditions, config, root)
            facts.append(f"{values.size} values of {vocabulary}; loss {history['train_loss'].iloc[-1]:.4g}")
        return cls(net.cpu(), vocabulary, scale=scale, history=history)

    @torch.inference_mode()
    def predict(
        self, perturbations: Sequence[str] | str, contexts: Sequence[str] | str, *, separator: str | None = "+"
    ) -> pd.DataFrame:
        """Predict all readouts of pairs of a perturbation and a context (pairs x readouts).

        Parameters
        ----------
        perturbations, contexts
            Names, pair by pair; one name goes with all of the other.
        separator
            What stands between several perturbations of one pair.

        Raises
        ------
        KeyError
            A name that was not trained on.
        ValueError
            Numbers of perturbations and contexts differ.
        """
        labels, where = _pairs(perturbations, contexts)
        conditions, n_readouts = self.vocabulary.conditions(labels, where, separator), len(self.vocabulary.readouts)
        readout, out = torch.arange(n_readouts), np.empty((len(labels), n_readouts), dtype=np.float32)
        for row in range(len(labels)):
            out[row] = self.net(*conditions.take(np.full(n_readouts, row)), readout).numpy()
        index = [f"{label} in {context}" for label, context in zip(labels, where, strict=True)]
        return pd.DataFrame(out * np.float32(self.scale), index=index, columns=self.vocabulary.readouts)

    def embedding(self, kind: Kind = "perturbation") -> pd.DataFrame:
        """Embeddings of contexts, perturbations or readouts (names x dim)."""
        net, names = self.net, self.vocabulary
        tables = {
            "context": (net.context_embedding_layer.weight, names.contexts),
            "perturbation": (net.perturb_embedding_layer.weight, names.perturbations),
            "readout": (net.readout_embedding_layer.weight, names.readouts),
        }
        need_one_of(kind, tables, name="kind")
        weight, index = tables[kind]
        return pd.DataFrame(weight.detach().numpy().copy(), index=index)

    def similarity(self, kind: Kind = "perturbation") -> pd.DataFrame:
        """Cosine similarity of embeddings: perturbations that act alike, readouts that respond alike (names x names)."""
        table = self.embedding(kind)
        unit = normalize(table.to_numpy())
        return pd.DataFrame(unit @ unit.T, index=table.index, columns=table.index)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file; no pickle."""
        rest = {"format": FORMAT, "scale": self.scale, "history": self.history["train_loss"].tolist()}
        with whole_file(Path(path)) as draft:
            weights = {name: value.contiguous() for name, value in self.net.state_dict().items()}
            save_file(weights, draft, metadata={"lpm": json.dumps(rest | self.vocabulary.to_dict())})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        with safe_open(str(path), framework="pt") as file:
            meta = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        if "lpm" not in meta:
            raise fail(ValueError, "the file must be written by LPM.save.", f"{path}.", "use LPM.load_published.")
        known = json.loads(meta["lpm"])
        history = pd.DataFrame({"train_loss": known["history"]})
        return cls(
            _net_of(state, Path(path)),
            Vocabulary.from_dict(known),
            scale=float(known["scale"]),
            history=history,
        )

    @classmethod
    def load_published(cls, path: str | Path) -> Self:
        """Read a checkpoint of the published program: its state dict with the lists of symbols; nothing is unpickled.

        Raises
        ------
        ValueError
            The file holds more than tensors and plain values, or other keys.
        """
        state = read_tensors(Path(path))
        state = dict(state.get("state_dict", state))
        missing = [part for part in SYMBOLS if part not in state]
        if missing:
            raise fail(
                ValueError, f"the state dict of an LPM holds {listing(SYMBOLS)}.", f"no {listing(missing)}.",
                "give the file of the published program, or read one of LPM.save with LPM.load.",
            )  # fmt: skip
        names = [pd.Index([str(name) for name in state.pop(part)], dtype=object) for part in SYMBOLS]
        return cls(_net_of(need_state(state, Path(path)), Path(path)), Vocabulary(*names))

    def __repr__(self) -> str:
        return f"LPM of {self.vocabulary}"


def _train(net: LPMNet, values: np.ndarray, conditions: Conditions, config: LPMConfig, root: int) -> pd.DataFrame:
    """Minimise the squared error of all finite values; the order of each epoch is seeded by its number."""
    where = next(net.parameters()).device
    row, readout = np.nonzero(np.isfinite(values))
    target = values[row, readout]
    size = config.batch_size or max(1, min(LARGEST_BATCH, target.size // 16))
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, config.decay)
    losses = []
    net.train()
    for epoch in tqdm(range(config.epochs), desc="LPM", disable=not settings.progress):
        order, total = generator(root, "order", epoch).permutation(target.size), 0.0
        for first in range(0, order.size, size):
            part = order[first : first + size]
            inputs = [x.to(where) for x in (*conditions.take(row[part]), torch.from_numpy(readout[part]))]
            loss = functional.mse_loss(net(*inputs), torch.from_numpy(target[part]).to(where))
            if not torch.isfinite(loss):
                raise fail(
                    FloatingPointError, "the loss must be a finite number.", f"{loss.item()} in epoch {epoch}.",
                    f"give a smaller lr (now {config.lr:g}).",
                )  # fmt: skip
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            total += loss.item() * part.size
        schedule.step()
        losses.append(total / order.size)
    return pd.DataFrame({"train_loss": losses})


def _net_of(state: dict[str, Tensor], source: Path) -> LPMNet:
    """Network whose sizes are those of a state dict, key by key."""
    tables = [state.get(f"{part}_embedding_layer.weight") for part in ("context", "perturb", "readout")]
    inner = sorted(int(key.split(".")[1]) for key in state if key.startswith("predictor.") and key.endswith("weight"))
    if any(table is None for table in tables) or not inner:
        raise fail(
            ValueError, "an LPM has three embedding tables and a predictor.", f"keys {listing(state, 10)}.",
            "give the checkpoint of an LPM.",
        )  # fmt: skip
    sizes = [table.shape for table in tables if table is not None]
    hidden = state[f"predictor.{inner[0]}.weight"].shape[0]
    net = LPMNet(*(size[0] for size in sizes), dim=sizes[0][1], hidden=hidden, layers=len(inner) - 1)
    fill(net, state, source=source)
    return net


def _pairs(perturbations: Sequence[str] | str, contexts: Sequence[str] | str) -> tuple[list[str], list[str]]:
    """Lists of equal length; a single name is repeated."""
    labels = [perturbations] if isinstance(perturbations, str) else list(perturbations)
    where = [contexts] if isinstance(contexts, str) else list(contexts)
    n = max(len(labels), len(where))
    labels, where = (names * n if len(names) == 1 else names for names in (labels, where))
    if len(labels) != len(where):
        raise fail(
            ValueError, "perturbations and contexts come in pairs.", f"{len(labels)} and {len(where)}.",
            "give as many of both, or one of either.",
        )  # fmt: skip
    return labels, where
