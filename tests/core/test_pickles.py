"""Dictionaries in pickles: plain values and numpy's numbers are read, all else is refused by name and never run."""

from __future__ import annotations

import os
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc._core.pickles import read_plain_pickle
from grnformer_sc.nn.backbones.published import read_tensors

PLAIN = {
    "<pad>": 0,
    "ENSG00000000003": 2,
    "big": 2**40,
    "median": 2.001186019549122,
    "TSPAN6": "ENSG00000000003",
    "": -1,
}


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def written(folder: Path, value: object, protocol: int = 4) -> Path:
    path = folder / "token_dictionary.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_dictionaries_come_back_in_every_protocol(protocol, tmp_path):
    assert read_plain_pickle(written(tmp_path, PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "|i1", "<u2"])
def test_numbers_of_numpy_come_back_as_plain_ones(dtype, protocol, tmp_path):
    value = np.array([3.25 if "f" in dtype else 77]).astype(dtype)[0]
    swapped = value if np.dtype(dtype).isnative else np.array([value], dtype=dtype)[0]
    found = read_plain_pickle(written(tmp_path, {"a": swapped, "b": swapped}, protocol))
    assert found == {"a": value, "b": value}
    assert {type(v) for v in found.values()} <= {int, float}


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (eval, ("open({!r}, 'w')",), "builtins.eval"),
        (getattr, (dict, "fromkeys"), "builtins.getattr"),
        (np.fromfile, ("{}",), r"numpy\.?\w*.fromfile"),
        (pickle.loads, (b"N.",), "_pickle.loads"),
    ],
)
def test_a_pickle_that_calls_is_refused_by_name_and_not_run(function, args, name, tmp_path):
    trap = tmp_path / "trap"
    made = tuple(a.format(str(trap)) if isinstance(a, str) else a for a in args)
    path = written(tmp_path, {"ENSG00000000003": Calls(function, *made)})
    with pytest.raises(ValueError, match=rf"token_dictionary.pkl must be a pickle of a dictionary.*asks for {name}"):
        read_plain_pickle(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "forged",
    [
        b"cnumpy\ndtype\n(S'O'\ntR.",  # values that are objects
        b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'evil'\nNNNI-1\nI-1\nI0\ntb.",  # a byte order that is none
        b"cnumpy\ndtype\n}S'x'\nI1\nsb.",  # a state for the stand-in itself
        b"cnumpy.core.multiarray\nscalar\n(S'f8'\nS'1'\ntR.",  # a number of no type
        b"c_codecs\nencode\n(S'x'\nS'idna'\ntR.",
        b"Pdata\n.",  # a persistent id
        b"\x80\x04.",  # nothing
        b"",
        pickletools.optimize(pickle.dumps(PLAIN))[:-9],
    ],
)
def test_forged_and_damaged_pickles_are_errors(forged, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(forged)
    with pytest.raises(
        ValueError, match=r"x.pkl must be a pickle of a dictionary of text and numbers. Found: .+ Fix: "
    ):
        read_plain_pickle(path)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1, 2], "list"),
        ({1: 2}, "1: int"),
        ({"a": (1,)}, "'a': tuple"),
        ({"a": 1, "b": True}, "'b': bool"),
        ({"a": None}, "NoneType"),
    ],
)
def test_other_content_is_named(value, found, tmp_path):
    with pytest.raises(ValueError, match=rf"must hold a dictionary of text to text or numbers. Found: .*{found}"):
        read_plain_pickle(written(tmp_path, value))


@pytest.mark.parametrize(
    "forged",
    [
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00V8tR.",  # values without a type
        b"cnumpy\ndtype\n(X\x09\x00\x00\x00f8, (9,)f8tR.",  # a type that is more than a code
        b"cnumpy\nndarray\n(K\x02tR.",  # numpy's own constructor
        b"cbuiltins\nlist\n(K\x02tR.",
        b"cbuiltins\nint\n(X\x01\x00\x00\x009tR.",
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x02X\x02\x00\x00\x00O8K\x00X\x01\x00\x00\x00xtb.",  # a state of no array
        b"cnumpy\ndtype()\nX\x02\x00\x00\x00O8\x85R(K\x01X\x04\x00\x00\x00evilNtb.",  # the stand-in by its own name
        b"cpathlib\nPath\n)R.",
        b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
    ],
)
def test_forged_settings_beside_tensors_are_errors(forged, tmp_path):
    """Stand-ins for what settings hold can be called with anything, and give nothing but an error."""
    torch.save({"a": 1}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "x.pt", "w") as out:
        for name in whole.namelist():
            out.writestr(name, b"\x80\x02" + forged if name.endswith("data.pkl") else whole.read(name))
    with pytest.raises(ValueError, match=r"x.pt must be a whole torch file that holds tensors and plain values only"):
        read_tensors(tmp_path / "x.pt")
