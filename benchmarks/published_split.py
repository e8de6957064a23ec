"""The test split of the published DeepCDR and scFoundation runs, recovered from their stored targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FILES = {
    "DeepCDR": "DeepCDR_without_mut_with_gexp_without_methy_256_256_256_bn_relu_GAP.npz",
    "scFoundation + DeepCDR": "DeepCDR_without_mut_with_gexp_without_methy_256_256_256_bn_relu_GAP_50M-0.1B-res.npz",
}


def rows_of_protocol(data: Path) -> pd.DataFrame:
    """All 107,446 rows `line`, `drug`, `value`: 561 lines with methylation, drugs with a PubChem id and a structure."""
    import grnformer_sc as grs

    lines = pd.read_csv(data / "drug_response" / "ccle_methylation_561x808.csv.gz", usecols=[0]).iloc[:, 0]
    table = grs.priors.read_gdsc(data / "deepcdr_published" / "GDSC_IC50.csv.gz", drugs=pubchem(data))
    return table[table["line"].isin(lines)].reset_index(drop=True)


def pubchem(data: Path) -> dict[str, str]:
    """PubChem id by drug id, of drugs with a structure."""
    drugs = pd.read_csv(data / "drug_response" / "gdsc_drugs_smiles.csv.gz").dropna(subset=["smiles"])
    return dict(zip(drugs["drug_id"].astype(str), drugs["PubCHEM"].astype(str), strict=True))


def published(data: Path, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions."""
    with np.load(data / "deepcdr_published" / FILES[who]) as file:
        return file["test"].astype(np.float64), file["pred"].astype(np.float64)


def test_rows(table: pd.DataFrame, data: Path) -> np.ndarray:
    """Row of `table` for every published target.

    97 % of the values occur once. Of the others the drug is known by the published DeepCDR's prediction, which is one value
    per drug; one pair stays open between two lines of the same drug and takes the first.
    """
    value, told = published(data, "DeepCDR")
    places = pd.Series(np.arange(len(table))).groupby(table["value"].astype(np.float32).to_numpy()).agg(list)
    candidates = places.loc[value.astype(np.float32)].tolist()
    unique = np.array([len(rows) == 1 for rows in candidates])
    first = np.array([rows[0] for rows in candidates])
    level = pd.Series(told[unique]).groupby(table["drug"].to_numpy()[first[unique]]).mean()
    for place in np.flatnonzero(~unique):
        off = np.abs(level.reindex(table["drug"].iloc[candidates[place]]).to_numpy() - told[place])
        first[place] = candidates[place][int(np.nanargmin(off))]
    return first


def training_rows(table: pd.DataFrame, test: np.ndarray) -> pd.DataFrame:
    """What may be trained on: other rows of the lines that were sampled from.

    Lines outside the 25 cancer types of the protocol are never tested; a line of these types is left untested with a
    probability of about 1e-4.
    """
    kept = table["line"].isin(table["line"].iloc[test].unique()).to_numpy()
    kept[test] = False
    return table[kept]
