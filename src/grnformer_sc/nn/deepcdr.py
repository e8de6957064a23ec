"""DeepCDR (Liu et al. 2020) with expression alone: graph convolution of the drug, dense tower of the line, and a head."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

LEAST_BATCH, STEPS = 16, 8  # small tables are cut into so many steps a pass
TOWER, CODE, JOINED = 256, 100, 300  # widths of the published network


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepCDRSettings:
    """Size and training.

    Attributes
    ----------
    hidden, layers
        Width and number of the graph convolutions before the last (published: 256, 3).
    dropout
        Of towers; twice that before the output.
    lr, batch_size, epochs, patience
        Adam; pairs per step, at most an eighth of them; most passes; passes
        without a better validation error before it stops.
    held
        Share of the training lines or pairs that is validated on.
    """

    hidden: int = 64
    layers: int = 2
    dropout: float = 0.1
    lr: float = 1e-3
    batch_size: int = 1024
    epochs: int = 10
    patience: int = 3
    held: float = 0.1


class DeepCDRNet(nn.Module):
    """Drug graph and features of a line -> response.

    Atoms are shared by all drugs and encoded at once per step; a pair picks its drug. Average pooling over atoms, as in the
    published runs (`GAP`).
    """

    def __init__(self, n_features: int, n_atom_features: int, settings: DeepCDRSettings) -> None:
        super().__init__()
        widths = [n_atom_features, *[settings.hidden] * settings.layers, CODE]
        self.convolutions = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.drop = nn.Dropout(settings.dropout)
        self.line = nn.Sequential(
            nn.Linear(n_features, TOWER), nn.Tanh(), nn.BatchNorm1d(TOWER), nn.Dropout(settings.dropout),
            nn.Linear(TOWER, CODE), nn.ReLU(),
        )  # fmt: skip
        self.joined = nn.Sequential(nn.Linear(2 * CODE, JOINED), nn.Tanh(), nn.Dropout(settings.dropout))
        self.head = nn.Sequential(
            nn.Conv1d(1, 30, 150), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(30, 10, 5), nn.ReLU(), nn.MaxPool1d(3),
            nn.Conv1d(10, 5, 5), nn.ReLU(), nn.MaxPool1d(3), nn.Flatten(),
            nn.Dropout(2 * settings.dropout), nn.LazyLinear(1),
        )  # fmt: skip

    def drugs(self, atoms: Float[Tensor, "atoms features"], bonds: Tensor, pool: Tensor) -> Float[Tensor, "drugs code"]:
        """Codes of all drugs; `bonds` and `pool` (drugs x atoms, means) are sparse."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            atoms = self.drop(norm(torch.relu(torch.sparse.mm(bonds, convolution(atoms)))))
        return torch.sparse.mm(pool, atoms)

    def forward(
        self, drug_codes: Float[Tensor, "pairs code"], lines: Float[Tensor, "pairs features"]
    ) -> Float[Tensor, " pairs"]:
        """Responses of pairs."""
        joined = self.joined(torch.cat([drug_codes, self.line(lines)], dim=1))
        return self.head(joined[:, None]).squeeze(1)


@dataclass(frozen=True, slots=True)
class Graphs:
    """Atoms of all drugs, their bonds, and the mean over the atoms of a drug."""

    atoms: Tensor
    bonds: Tensor
    pool: Tensor

    @classmethod
    def of(
        cls, atoms: Float[np.ndarray, "atoms features"], bonds: sp.csr_matrix, owner: Int[np.ndarray, " atoms"]
    ) -> Graphs:
        """Build the tensors."""
        n_drugs = int(owner.max()) + 1
        share = 1 / np.bincount(owner, minlength=n_drugs)[owner]
        pool = sp.csr_matrix((share.astype(np.float32), (owner, np.arange(owner.size))), (n_drugs, owner.size))
        return cls(torch.from_numpy(atoms), _sparse(bonds), _sparse(pool))


def _sparse(matrix: sp.csr_matrix) -> Tensor:
    coo = matrix.tocoo()
    places = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(coo.data), coo.shape, check_invariants=True).coalesce()


def fit_predict(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    features: Float[np.ndarray, "lines features"],
    graphs: Graphs,
    held: Bool[np.ndarray, "lines drugs"],
    *,
    settings: DeepCDRSettings,
    seed: int,
) -> tuple[Float[np.ndarray, "lines drugs"], dict[str, float]]:
    """Train on `known` without `held`, stop by the error on `held`, and predict all pairs with the best weights.

    Only values of `known` are read. Responses and features are scaled by what is trained on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        train = known & ~held
        mean, sd = float(y[train].mean()), float(y[train].std()) or 1.0
        rows = train.any(axis=1)
        centre, width = features[rows].mean(axis=0), features[rows].std(axis=0)
        x = torch.from_numpy(((features - centre) / np.where(width > 0, width, 1)).astype(np.float32))
        target = torch.from_numpy(((np.where(known, y, mean) - mean) / sd).astype(np.float32))
        net = DeepCDRNet(x.shape[1], graphs.atoms.shape[1], settings)
        net.eval()
        with torch.no_grad():  # shapes of the last layer
            net(torch.zeros(2, CODE), x[:2])
        best, epochs = _train(net, x, target, graphs, np.argwhere(train), np.argwhere(held), settings)
        return _all_pairs(net, x, graphs) * sd + mean, {"epochs": float(epochs), "validation_rmse": best**0.5 * sd}


def _train(
    net: DeepCDRNet, x: Tensor, target: Tensor, graphs: Graphs, train: Int[np.ndarray, "pairs 2"],
    held: Int[np.ndarray, "held 2"], settings: DeepCDRSettings,
) -> tuple[float, int]:  # fmt: skip
    """Best validation error and the pass that gave it; `net` keeps its weights."""
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.lr)
    pairs, judged = torch.from_numpy(train), torch.from_numpy(held)
    size = max(LEAST_BATCH, min(settings.batch_size, len(pairs) // STEPS))
    best, state, at = float("inf"), {}, 0
    for epoch in range(1, settings.epochs + 1):
        net.train()
        for batch in torch.split(torch.randperm(len(pairs)), size):
            if len(batch) < 2:  # a batch norm needs two
                continue
            line, drug = pairs[batch].T
            codes = net.drugs(graphs.atoms, graphs.bonds, graphs.pool)
            loss = ((net(codes[drug], x[line]) - target[line, drug]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        error = _error(net, x, target, graphs, judged)
        if error < best:
            best, at = error, epoch
            state = {name: value.clone() for name, value in net.state_dict().items()}
        if epoch - at >= settings.patience:
            break
    net.load_state_dict(state)
    return best, at


@torch.no_grad()
def _error(net: DeepCDRNet, x: Tensor, target: Tensor, graphs: Graphs, pairs: Tensor) -> float:
    net.eval()
    codes = net.drugs(graphs.atoms, graphs.bonds, graphs.pool)
    line, drug = pairs.T
    return float(((net(codes[drug], x[line]) - target[line, drug]) ** 2).mean())


@torch.no_grad()
def _all_pairs(net: DeepCDRNet, x: Tensor, graphs: Graphs) -> Float[np.ndarray, "lines drugs"]:
    net.eval()
    codes = net.drugs(graphs.atoms, graphs.bonds, graphs.pool)
    rows = [net(codes, line.expand(len(codes), -1)).numpy() for line in x]
    return np.stack(rows).astype(np.float64)
