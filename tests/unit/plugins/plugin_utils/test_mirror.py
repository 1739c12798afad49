# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror's directories: made once, as a whole, and never of what is not what it should be."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _elf
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_go, _artifact_lock, _image, _mirror
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


def pinned(sums: dict[str, str]) -> _artifact_lock.Artifact:
    """The collection's smallest artifact, with other sums of what is built."""
    artifact = _artifact_lock.load().artifacts["pause"]
    assert artifact.build
    build = _artifact_lock.Build(**{**vars(artifact.build), "sha256": sums})
    return _artifact_lock.Artifact(**{**vars(artifact), "build": build})


PAUSE = pinned({})
AMD64, ARM64 = 62, 183


def elf(machine: int, order: str = "<") -> bytes:
    return b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + bytes(12) + struct.pack(f"{order}H", machine)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (elf(AMD64), "amd64"),
        (elf(ARM64), "arm64"),
        (elf(22, ">"), "an unknown machine (ELF machine 22)"),
        (b"#!/bin/sh\n" + bytes(20), "no Linux machine (no ELF program)"),
        (b"", "no Linux machine (no ELF program)"),
    ],
)
def test_a_programs_architecture_is_in_its_header(header: bytes, told: str) -> None:
    assert _elf.told(header) == told


class Go:
    """Stands in for Go: writes a program for a machine."""

    def __init__(self, machine: int = AMD64) -> None:
        self.machine, self.builds = machine, 0
        self.meanwhile: Callable[[], None] = lambda: None

    def build(self, _: _artifact_lock.Artifact, architecture: str, work: Path, output: Path) -> None:
        self.builds += 1
        assert (architecture, list(work.iterdir())) == ("amd64", [])
        (output / "pause").write_bytes(elf(self.machine))
        self.meanwhile()


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Go:
    stand_in = Go()
    monkeypatch.setattr(_artifact_go, "build", stand_in.build)
    monkeypatch.setattr(_artifact_go, "ready", lambda go: f"go{go}")
    return stand_in


def mirror(directory: Path, said: Callable[[str], None] = print) -> _mirror.Mirror:
    return _mirror.Mirror(directory, "amd64", "build", said)


def test_what_is_missing_is_made_once(tmp_path: Path, go: Go) -> None:
    held = mirror(tmp_path)
    assert held.missing([PAUSE]) == ["pause"]
    held.fill([PAUSE])
    held.fill([PAUSE])
    assert (held.missing([PAUSE]), go.builds) == ([], 1)
    place = held.place(PAUSE)
    image = json.loads((place / _mirror.RECORD).read_text(encoding="utf-8"))["images"]["pause"]
    assert image["reference"] == "registry.k8s.io/pause:3.10.2"
    assert image["sha256"] == _image.sha256(place / image["file"])


def test_two_runs_make_it_once(tmp_path: Path, go: Go) -> None:
    said: list[str] = []
    waits, lines = threading.Event(), threading.Lock()

    def say(text: str) -> None:
        with lines:
            said.append(text)
        if text.startswith("waiting for"):
            waits.set()

    second = threading.Thread(target=lambda: mirror(tmp_path, say).fill([PAUSE]))

    def meanwhile() -> None:
        second.start()
        assert waits.wait(60)

    go.meanwhile = meanwhile
    mirror(tmp_path, say).fill([PAUSE])
    second.join(60)
    assert go.builds == 1
    assert [text for text in said if text.endswith(": there")] == ["pause 3.10.2: there"]


def test_a_run_that_was_killed_leaves_nothing_that_counts(tmp_path: Path, go: Go) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    go.meanwhile = killed
    held = mirror(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        held.fill([PAUSE])
    left = tmp_path / f".{held.place(PAUSE, 'build').name}.abc"  # what kill -9 leaves
    left.mkdir()
    assert held.missing([PAUSE]) == ["pause"]
    go.meanwhile = lambda: None
    held.fill([PAUSE])
    assert held.missing([PAUSE]) == []
    assert not left.exists()


def test_a_program_for_another_architecture_is_refused(tmp_path: Path, go: Go) -> None:
    go.machine = ARM64
    with pytest.raises(Failed, match=r"pause: .*/pause is for arm64, expected amd64"):
        mirror(tmp_path).fill([PAUSE])
    assert mirror(tmp_path).missing([PAUSE]) == ["pause"]


def test_a_build_that_is_not_what_was_pinned_is_refused(tmp_path: Path, go: Go) -> None:
    with pytest.raises(Failed, match=f"has the sum [0-9a-f]{{64}}, the lock file says {'0' * 64}"):
        mirror(tmp_path).fill([pinned({"amd64": "0" * 64})])


def test_the_list_tells_where_everything_comes_from(tmp_path: Path, go: Go) -> None:
    lock = _artifact_lock.load()
    rows = mirror(tmp_path).listed(lock.artifacts.values())
    assert {row["artifact"] for row in rows} == set(lock.artifacts)
    assert {
        "artifact": "etcd",
        "version": "3.6.8",
        "url": "go module go.etcd.io/etcd/server/v3@v3.6.8",
    }.items() <= next(row for row in rows if row["artifact"] == "etcd").items()
    released = _mirror.Mirror(tmp_path, "amd64", "release").listed([lock.artifacts["containerd"]])
    assert [row["sum"] for row in released] == [f"{row['url']}.sha256sum" for row in released]


def test_the_sum_of_an_artifact_is_what_sha256sum_makes_of_its_programs(tmp_path: Path) -> None:
    # printf a > a; printf b > b; sha256sum a b | sha256sum
    sums = {name: _image.sha256(path) for name in "ba" if (path := tmp_path / name) and path.write_text(name)}
    assert _mirror.total(sums) == "cb13f400dcb618e400d0f7d54f7cdb330d37a07272cb99a1016cda5830a10556"


def test_a_directory_is_there_when_its_record_is(tmp_path: Path, go: Go) -> None:
    held = mirror(tmp_path)
    held.fill([PAUSE])
    record = json.loads((held.place(PAUSE) / _mirror.RECORD).read_text(encoding="utf-8"))
    assert (record["name"], record["version"], record["architecture"]) == ("pause", "3.10.2", "amd64")


def test_hosts_are_offered_what_the_mirror_has(tmp_path: Path, go: Go) -> None:
    demo = _artifact_lock.Artifact(**{**vars(PAUSE), "install": ["pause"]})
    ((before,), files) = _mirror.offers(tmp_path, [demo], "")
    assert files == {}
    # The key alone: a host that has this version needs no mirror.
    assert before["offers"]["amd64"] == [{"key": demo.key("install", "amd64", "build")}]
    mirror(tmp_path).fill([demo])
    ((after,), files) = _mirror.offers(tmp_path, [demo], "http://mirror.example/x/")
    (offer,) = after["offers"]["amd64"]
    assert files[offer["sha256"]] == mirror(tmp_path).place(demo) / "pause.tar"
    assert offer["url"] == f"http://mirror.example/x/{mirror(tmp_path).place(demo).name}/pause.tar"
    assert [offer.keys() for offer in after["offers"]["arm64"]] == [{"key"}]


def test_an_artifact_of_images_alone_is_not_for_hosts(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r'names \("pause"\): hosts install nothing of it'):
        _mirror.offers(tmp_path, [PAUSE], "")


def test_hosts_are_told_of_images(tmp_path: Path, go: Go) -> None:
    several = _artifact_lock.load().images(["pause"])
    ((before,), files) = _mirror.images(tmp_path, several, "")
    assert (before["reference"], before["offers"], files) == ("registry.k8s.io/pause:3.10.2", {}, {})
    artifact, _ = several[0]
    several = [(pinned({}), several[0][1])]
    mirror(tmp_path).fill([several[0][0]])
    ((after,), files) = _mirror.images(tmp_path, several, "http://mirror.example/x/")
    assert list(after["offers"]) == ["amd64"]
    offer = after["offers"]["amd64"]
    place = mirror(tmp_path).place(artifact)
    assert files == {offer["sha256"]: place / "pause.image.tar"}
    assert offer["url"] == f"http://mirror.example/x/{place.name}/pause.image.tar"
    assert offer["id"].startswith("sha256:")
    with pytest.raises(InvalidError, match=r"images \(\"paus\"\): there is no such image; did you mean 'pause'"):
        _artifact_lock.load().images(["paus"])
