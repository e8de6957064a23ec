"""What rdkit reads from the structure of a drug: Morgan fingerprints, and the atoms and bonds of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._core.checks import fail
from .._core.optional import need

RADIUS, BITS = 2, 2048  # of Morgan fingerprints (ECFP4)
# the atoms of ConvMol features (deepchem), of which DeepCDR takes 75 numbers each; the last stands for all others
ELEMENTS = [
    "C",
    "N",
    "O",
    "S",
    "F",
    "Si",
    "P",
    "Cl",
    "Br",
    "Mg",
    "Na",
    "Ca",
    "Fe",
    "As",
    "Al",
    "I",
    "B",
    "V",
    "K",
    "Tl",
    "Yb",
    "Sb",
    "Sn",
    "Ag",
    "Pd",
    "Co",
    "Se",
    "Ti",
    "Zn",
    "H",
    "Li",
    "Ge",
    "Cu",
    "Au",
    "Ni",
    "Cd",
    "In",
    "Mn",
    "Zr",
    "Cr",
    "Pt",
    "Hg",
    "Pb",
]
DEGREES, VALENCES, HYDROGENS = 11, 7, 5
HYBRIDS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
N_ATOM_FEATURES = len(ELEMENTS) + 1 + DEGREES + VALENCES + 2 + len(HYBRIDS) + 1 + HYDROGENS


def morgan_fingerprints(smiles: Mapping[str, str]) -> np.ndarray:
    """Morgan fingerprints (radius 2, 2,048 bits) of drugs, one row each (float64)."""
    molecules = _molecules(smiles)
    make = need("rdkit.Chem.rdFingerprintGenerator", extra="drugs").GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    return np.stack([make.GetFingerprintAsNumPy(molecule) for molecule in molecules]).astype(np.float64)


def drug_graphs(smiles: Mapping[str, str]) -> tuple[np.ndarray, sp.csr_matrix, np.ndarray]:
    """Graphs of all drugs below each other: atoms x 75 features (float32), bonds with loops, drug of every atom.

    Bonds are normalised as D^-1/2 (A + I) D^-1/2.
    """
    implicit = need("rdkit.Chem", extra="drugs").ValenceType.IMPLICIT
    atoms, rows, columns, owner = [], [], [], []
    first = 0
    for drug, molecule in enumerate(_molecules(smiles)):
        n = molecule.GetNumAtoms()
        atoms += [_atom(atom, implicit) for atom in molecule.GetAtoms()]
        ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
        for a, b in [*ends, *((b, a) for a, b in ends), *((i, i) for i in range(n))]:
            rows.append(first + a)
            columns.append(first + b)
        owner += [drug] * n
        first += n
    bonds = sp.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), (first, first))
    scale = sp.diags(np.asarray(bonds.sum(axis=1)).ravel() ** -0.5)
    return np.stack(atoms), sp.csr_matrix(scale @ bonds @ scale, dtype=np.float32), np.array(owner)


def _atom(atom: Any, implicit: Any) -> np.ndarray:
    element, hybrid = atom.GetSymbol(), str(atom.GetHybridization())
    one_hot: list[Any] = [
        _one(ELEMENTS.index(element) if element in ELEMENTS else len(ELEMENTS), len(ELEMENTS) + 1),
        _one(atom.GetDegree(), DEGREES),
        _one(atom.GetValence(implicit), VALENCES),
        [atom.GetFormalCharge(), atom.GetNumRadicalElectrons()],
        _one(HYBRIDS.index(hybrid) if hybrid in HYBRIDS else -1, len(HYBRIDS)),
        [float(atom.GetIsAromatic())],
        _one(atom.GetTotalNumHs(), HYDROGENS),
    ]
    return np.concatenate(one_hot).astype(np.float32)


def _one(place: int, size: int) -> np.ndarray:
    out = np.zeros(size)
    if 0 <= place < size:
        out[place] = 1
    return out


def _molecules(smiles: Mapping[str, str]) -> Iterable[Any]:
    """Molecules of SMILES; one that cannot be read is an error that names the drug."""
    chem = need("rdkit.Chem", extra="drugs")
    need("rdkit.RDLogger", extra="drugs").DisableLog("rdApp.error")  # our error names the drug
    found = {drug: chem.MolFromSmiles(text) for drug, text in smiles.items()}
    bad = [
        f"{drug} ({smiles[drug]})" for drug, molecule in found.items() if molecule is None or not molecule.GetNumAtoms()
    ]
    if bad:
        raise fail(
            ValueError, "SMILES must describe a molecule.", f"{len(bad)} that rdkit cannot read: {', '.join(bad[:3])}.",
            "correct them, or leave them out.",
        )  # fmt: skip
    return list(found.values())
