"""Registered files: where they are looked for, checksums, downloads that appear whole or not at all."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import re
import threading

import pytest

import grnformer_sc as grs
from grnformer_sc.datasets import _registry

CONTENT = b"chr1\t1\t2\tA\t+\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A registry of one file, a data folder, a cache, and a server on this machine that holds the file."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "one.bed").write_bytes(CONTENT)
    handler = functools.partial(QuietHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/one.bed"
    entry = _registry.RemoteFile(
        "set/one.bed", "one.bed", "set", url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "MIT", "Nobody (2020)"
    )
    monkeypatch.setattr(_registry, "remote_files", lambda: {entry.name: entry})
    (tmp_path / "data").mkdir()
    with grs.settings.override(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache"):
        yield tmp_path
    server.shutdown()
    server.server_close()
    thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_places_are_tried_in_order(place):
    downloaded = grs.datasets.fetch("set/one.bed")
    assert downloaded == place / "cache" / "set" / "one.bed"
    assert downloaded.read_bytes() == CONTENT
    for where in ("deep/er/one.bed", "one.bed", "set/one.bed", "set/raw/one.bed"):
        path = put(place / "data" / where)
        assert grs.datasets.fetch("set/one.bed", download=False) == path


def test_the_cache_serves_without_data_dir_and_network(place):
    put(place / "cache" / "set" / "one.bed")
    with grs.settings.override(data_dir=None):
        assert grs.datasets.fetch("set/one.bed", download=False).parent.parent == place / "cache"


def test_a_file_of_the_same_name_elsewhere_is_passed_over(place):
    put(place / "data" / "other" / "one.bed", b"something else")
    assert grs.datasets.fetch("set/one.bed") == place / "cache" / "set" / "one.bed"


@pytest.mark.parametrize("where", ["data/set/raw/one.bed", "cache/set/one.bed"])
def test_a_corrupt_file_is_named_with_the_three_ways(place, where):
    put(place / where, CONTENT[:-3])
    with pytest.raises(ValueError, match=r"corrupt.*GRS_DATA_DIR.*put the file at.*download of http"):
        grs.datasets.fetch("set/one.bed")


def test_a_missing_file_is_named_with_the_three_ways(place):
    with pytest.raises(FileNotFoundError, match=r"GRS_DATA_DIR.*put the file at.*download of http"):
        grs.datasets.fetch("set/one.bed", download=False)
    (place / "served" / "one.bed").unlink()
    with pytest.raises(FileNotFoundError, match="the download failed"):
        grs.datasets.fetch("set/one.bed")


def test_a_download_with_another_checksum_leaves_nothing_behind(place):
    (place / "served" / "one.bed").write_bytes(b"tampered")
    with pytest.raises(FileNotFoundError, match="the download failed"):
        grs.datasets.fetch("set/one.bed")
    assert not [path for path in (place / "cache").rglob("*") if path.is_file()]


def test_an_unknown_name_lists_the_known_ones(place):
    with pytest.raises(KeyError, match=r"\[set/one.bed\]"):
        grs.datasets.fetch("set/two.bed")


def test_every_entry_is_pinned_and_complete():
    table = grs.datasets.registry()
    assert table.index.is_unique
    for entry in _registry.remote_files().values():
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert re.search(r"^https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/", entry.url)
        assert entry.size > 0
        assert entry.licence
        assert re.search(r"\(\d{4}\)", entry.citation)
        with pytest.raises(dataclasses.FrozenInstanceError):
            entry.url = "x"


@pytest.mark.realdata
def test_every_registered_file_lies_in_the_data_folder(data_dir, tmp_path):
    with grs.settings.override(data_dir=data_dir, cache_dir=tmp_path):
        for entry in _registry.remote_files().values():
            assert grs.datasets.fetch(entry.name, download=False).stat().st_size == entry.size
