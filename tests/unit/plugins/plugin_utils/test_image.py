# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives and images: read back, and twice the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _debian_tree, _image


def program(directory: Path, name: str, mtime: int = 0) -> Path:
    path = directory / name
    path.write_bytes(name.encode())
    path.chmod(0o700 if mtime else 0o755)
    return path


def base(directory: Path) -> Path:
    target = directory / "base.tar"
    with _image.opened(target) as output:
        entry = tarfile.TarInfo("usr")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        output.addfile(entry)
    return target


def content(directory: Path, order: int = 1, root: Path | None = None) -> _image.Content:
    programs = {name: program(directory, name) for name in ["two", "one"][::order]}
    links = dict([("/usr/sbin/iptables", "nft"), ("/usr/bin/sh", "/usr/local/bin/one")][::order])
    return _image.Content("registry.example/demo:v1", "arm64", ["/usr/local/bin/one"], programs, links, root)


def read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: file.read() for entry in archive if (file := archive.extractfile(entry))}


def test_an_image_can_be_read_back(tmp_path: Path) -> None:
    target = tmp_path / "demo.tar"
    identity = _image.write(target, content(tmp_path, root=base(tmp_path)))
    files = read(target)
    (manifest,) = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["registry.example/demo:v1"]
    config = json.loads(files[manifest["Config"]])
    assert manifest["Config"] == f"{identity.removeprefix('sha256:')}.json"
    assert manifest["Config"] == f"{hashlib.sha256(files[manifest['Config']]).hexdigest()}.json"
    assert (config["architecture"], config["os"]) == ("arm64", "linux")
    assert config["config"]["Entrypoint"] == ["/usr/local/bin/one"]
    sums = [f"sha256:{hashlib.sha256(files[layer]).hexdigest()}" for layer in manifest["Layers"]]
    assert config["rootfs"]["diff_ids"] == sums
    assert len(sums) == 2
    with tarfile.open(fileobj=io.BytesIO(files[manifest["Layers"][1]])) as layer:
        entries = {entry.name: entry for entry in layer}
        assert list(entries) == sorted(entries)
        assert entries["usr/local/bin/one"].mode == 0o755
        assert entries["tmp"].mode == 0o1777
        assert entries["usr/sbin/iptables"].linkname == "nft"
        assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for entry in layer} == {(0, 0, 0, "")}
    assert not list(tmp_path.glob(".*")), "the layer's draft is left"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for number, directory in enumerate((first, second)):
        directory.mkdir()
        given = content(directory, order=1 if number else -1)
        _image.write(directory / "image.tar", given)
        _image.archive({name: program(directory, name, mtime=number) for name in given.programs}, directory / "x.tar")
    assert (first / "image.tar").read_bytes() == (second / "image.tar").read_bytes()
    assert (first / "x.tar").read_bytes() == (second / "x.tar").read_bytes()
    assert read(first / "x.tar") == {"one": b"one", "two": b"two"}


URIS = """Reading package lists...
NOTE: This is only a simulation!
'http://deb.example/debian/pool/main/c/conntrack-tools/conntrack_1%3a1.4.7-1%2bb2_amd64.deb' conntrack_1%3a1.4.7-1+b2_amd64.deb 35944 SHA256:ab
'http://deb.example/debian/pool/main/n/netbase/netbase_6.4_all.deb' netbase_6.4_all.deb 12728 SHA256:cd
"""  # noqa: E501


def test_packages_are_read_from_what_apt_would_fetch() -> None:
    assert _debian_tree.files_of(URIS) == {
        "conntrack_1%3a1.4.7-1+b2_amd64.deb": "conntrack=1:1.4.7-1+b2",
        "netbase_6.4_all.deb": "netbase=6.4",
    }


def test_packages_come_from_the_mirrors_that_the_machine_uses() -> None:
    uris = ["https://deb.nodesource.com/node_20.x", "http://deb.example/debian/", "http://deb.example/debian-security/"]
    keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert _debian_tree.sources(uris).splitlines() == [
        f"deb {keys} http://deb.example/debian/ trixie main",
        f"deb {keys} http://deb.example/debian/ trixie-updates main",
        f"deb {keys} http://deb.example/debian-security/ trixie-security main",
    ]
    with pytest.raises(Failed, match="need a mirror of Debian"):
        _debian_tree.sources(uris[:1])
