"""What is measured of a trained model on held-out cells, and the same of trivial predictors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grnformer_sc.grn.embedding import log_normalise, pca_scores
from grnformer_sc.model import GRNFormer

from .networks import LABEL

NEIGHBOURS = 15
N_MIXED = 30  # neighbours among which batches are counted
N_COMPONENTS = 30  # of the PCA that stands beside the embedding


def principal_components(train: AnnData, test: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both on the components of the training cells."""
    scores, loadings, mean = pca_scores(sp.csr_matrix(train.X), n_comps=N_COMPONENTS)
    return scores, log_normalise(sp.csr_matrix(test.X)) @ loadings.T - mean @ loadings.T


def probes(z_train: np.ndarray, z_test: np.ndarray, train: AnnData, test: AnnData) -> dict[str, float]:
    """What the embedding of held-out cells says about type, batch and planted TF activity."""
    out = {}
    if set(test.obs[LABEL].astype(str)) <= set(train.obs[LABEL].astype(str)):  # no probe knows a type it never saw
        out["type_linear"] = balanced(LogisticRegression(max_iter=1000, C=1.0), z_train, z_test, train, test)
        out["type_knn"] = balanced(KNeighborsClassifier(NEIGHBOURS), z_train, z_test, train, test)
    if "batch" in test.obs:
        out["batch_mixing"] = mixing(np.concatenate([z_train, z_test]), pd.concat([train.obs, test.obs])["batch"])
    if "truth_activity" in test.obsm:
        probe = make_pipeline(StandardScaler(), Ridge(10.0)).fit(z_train, train.obsm["truth_activity"])
        out["tf_activity"] = explained(test.obsm["truth_activity"].to_numpy(), probe.predict(z_test))
    return out


def balanced(probe: object, z_train: np.ndarray, z_test: np.ndarray, train: AnnData, test: AnnData) -> float:
    """Mean recall over the types of held-out cells."""
    fitted = make_pipeline(StandardScaler(), probe).fit(z_train, train.obs[LABEL].astype(str))
    found, true = fitted.predict(z_test), test.obs[LABEL].astype(str)
    return float(balanced_accuracy_score(true, found))


def mixing(z: np.ndarray, batch: pd.Series) -> float:
    """Mean inverse Simpson index of the batches of the nearest cells (iLISI): 0 for one batch, 1 for what all cells have."""
    codes = pd.Categorical(batch.astype(str)).codes
    near = NearestNeighbors(n_neighbors=N_MIXED + 1).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    shares = np.stack([(codes[near] == code).mean(axis=1) for code in range(codes.max() + 1)], axis=1)
    most = 1 / ((np.bincount(codes) / codes.size) ** 2).sum()
    return float(((1 / (shares**2).sum(axis=1)).mean() - 1) / (most - 1))


def explained(true: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance that is explained, mean over columns."""
    left, total = ((true - predicted) ** 2).sum(axis=0), ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    return float((1 - left / total).mean())


def coregulation(similarity: np.ndarray, cells: AnnData) -> float:
    """How well a similarity of genes tells pairs with a common regulator of equal sign from other pairs (AUROC).

    Genes are those that some TF regulates, TFs themselves left out.
    """
    truth = cells.uns["truth"]
    signed = truth["tf"].astype(str) + np.where(truth["sign"] > 0, "+", "-")
    member = pd.crosstab(truth["gene"].astype(str), signed).clip(upper=1)
    member = member[~member.index.isin(cells.var_names[cells.var["is_tf"]])]
    shared = (member.to_numpy() @ member.to_numpy().T) > 0
    place = cells.var_names.get_indexer(member.index)
    upper = np.triu_indices(place.size, 1)
    return float(roc_auc_score(shared[upper], similarity[np.ix_(place, place)][upper]))


def cosine(embedding: np.ndarray) -> np.ndarray:
    """Cosine similarity of rows; rows of zeros are like nothing."""
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    unit = np.divide(embedding, length, out=np.zeros_like(embedding), where=length > 0)
    return unit @ unit.T


def coexpression(cells: AnnData) -> np.ndarray:
    """Pearson correlation of log-normalised counts."""
    return np.nan_to_num(np.corrcoef(log_normalise(sp.csr_matrix(cells.X)).toarray().T))


def attention_ratios(model: GRNFormer) -> dict[str, float]:
    """Attention on TFs over that on other genes (the paper's ratio), and over genes of like degree and expression."""
    table = model.get_attention(rng=0).enrichment
    return {f"tf_{name}": float(table[name].mean()) for name in table if str(name).startswith("rho")}
