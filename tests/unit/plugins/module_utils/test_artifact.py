# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts on a host: installed, changed, gone back, refused; always with what was in use still in use."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _artifact
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _image

AMD64, ARM64 = 62, 183


class Site:
    """A host's directories and a mirror, both below a directory."""

    def __init__(self, directory: Path) -> None:
        self.mirror, self.links, self.root = directory / "mirror", directory / "bin", directory / "artifacts"
        self.mirror.mkdir()
        self.files: dict[str, str] = {}

    def offer(self, version: str, programs: tuple[str, ...] = ("one", "two"), machine: int = AMD64) -> dict[str, Any]:
        """What the controller tells of a version that the mirror has."""
        work = self.mirror / version
        work.mkdir(exist_ok=True)
        for name in programs:
            content = "same" if name == "same" else f"{name} {version}"
            header = b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", machine)
            (work / name).write_bytes(header + content.encode())
        archive = self.mirror / f"{version}.tar"
        _image.archive({name: work / name for name in programs}, archive)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        self.files[digest] = str(archive)
        offer = {"key": "k", "sha256": digest, "size": archive.stat().st_size, "url": ""}
        about = {"name": "demo", "version": version, "programs": list(programs), "directory": str(self.links)}
        return {**about, "offers": {"amd64": [offer], "arm64": []}}

    def host(self, machine: str = "x86_64") -> _artifact.Host:
        return _artifact.Host(machine, self.files, self.root)

    def apply(self, *wanted: dict[str, Any], keep: int = 2) -> list[_artifact.Step]:
        steps = self.host().plan([_artifact.Wanted.of(one) for one in wanted])
        self.host().apply(steps, keep)
        return steps

    def used(self) -> dict[str, str]:
        """What a user of the host gets, by program."""
        return {path.name: path.read_bytes()[20:].decode() for path in self.links.iterdir()}

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "demo").iterdir() if path.is_dir() and not path.is_symlink())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_version_is_installed_and_then_nothing_is_to_be_done(site: Site) -> None:
    wanted = site.offer("1.0.0")
    (step,) = site.apply(wanted)
    assert (step.changed, step.fetch, _artifact.changed_programs([step])) == (True, True, ["one", "two"])
    assert site.used() == {"one": "one 1.0.0", "two": "two 1.0.0"}
    site.files.clear()  # what is here is not fetched again
    (step,) = site.apply(wanted)
    assert not step.changed
    assert [path.name for path in (site.root / "demo").glob(".*")] == []


def test_an_upgrade_names_the_programs_that_are_others_and_drops_links(site: Site) -> None:
    site.apply(site.offer("1.0.0", ("one", "same", "old")))
    (step,) = site.apply(site.offer("1.1.0", ("one", "same", "new")))
    assert _artifact.changed_programs([step]) == ["new", "one"]
    assert site.used() == {"one": "one 1.1.0", "same": "same", "new": "new 1.1.0"}


def test_going_back_is_a_link_and_needs_no_mirror(site: Site) -> None:
    first, second = site.offer("1.0.0"), site.offer("2.0.0")
    site.apply(first)
    site.apply(second)
    site.files.clear()
    first["offers"]["amd64"][0]["sha256"] = ""  # nor does the controller know more than the key
    (step,) = site.apply(first)
    assert (step.fetch, step.changed) == (False, True)
    assert site.used()["one"] == "one 1.0.0"


@pytest.mark.parametrize(
    ("keep", "left"),
    [(1, ["4.0.0-k"]), (2, ["1.0.0-k", "4.0.0-k"]), (3, ["1.0.0-k", "3.0.0-k", "4.0.0-k"])],
)
def test_the_versions_that_were_in_use_last_are_kept(site: Site, keep: int, left: list[str]) -> None:
    for number, version in enumerate(["1.0.0", "2.0.0", "3.0.0", "1.0.0"]):
        (step,) = site.apply(site.offer(version), keep=9)
        os.utime(step.target, (number, number))
    site.apply(site.offer("4.0.0"), keep=keep)
    assert site.versions() == left


def test_a_damaged_version_is_fetched_again(site: Site) -> None:
    wanted = site.offer("1.0.0")
    (step,) = site.apply(wanted)
    (step.target / "one").write_bytes(b"")
    (step,) = site.apply(wanted)
    assert step.fetch
    assert site.used()["one"] == "one 1.0.0"


def damaged(site: Site, wanted: dict[str, Any]) -> str:
    archive = Path(site.files[wanted["offers"]["amd64"][0]["sha256"]])
    content = bytearray(archive.read_bytes())
    content[512 + 30] ^= 1
    archive.write_bytes(content)
    return r"demo 2\.0\.0: .*/2\.0\.0\.tar is damaged: its sum is [0-9a-f]{64}, expected [0-9a-f]{64}"


def cut_off(site: Site, wanted: dict[str, Any]) -> str:
    archive = Path(site.files[wanted["offers"]["amd64"][0]["sha256"]])
    archive.write_bytes(archive.read_bytes()[:600])
    return r"demo 2\.0\.0: .*/2\.0\.0\.tar: unexpected end of data"


def removed(site: Site, wanted: dict[str, Any]) -> str:
    Path(site.files[wanted["offers"]["amd64"][0]["sha256"]]).unlink()
    return r"demo 2\.0\.0: .*No such file"


def for_another_machine(site: Site, wanted: dict[str, Any]) -> str:
    wanted["offers"] = site.offer("2.0.0", machine=ARM64)["offers"]
    return r"demo 2\.0\.0: one in .*/2\.0\.0\.tar is for arm64, expected amd64"


def other_programs(site: Site, wanted: dict[str, Any]) -> str:
    wanted["programs"] = ["one", "three"]
    return r"demo 2\.0\.0: .* has one, two, expected one, three"


def not_in_the_mirror(site: Site, wanted: dict[str, Any]) -> str:
    wanted["offers"]["amd64"][0]["sha256"] = ""
    return r"demo 2\.0\.0 for amd64: the mirror has nothing of it; fill it"


def only_for_others(site: Site, wanted: dict[str, Any]) -> str:
    wanted["offers"] = {"amd64": [], "arm64": wanted["offers"]["amd64"]}
    return r"demo 2\.0\.0 for amd64: the mirror has it for arm64 only"


@pytest.mark.parametrize(
    "fault",
    [damaged, cut_off, removed, for_another_machine, other_programs, not_in_the_mirror, only_for_others],
)
def test_what_is_not_right_changes_nothing(site: Site, fault: Any) -> None:
    site.apply(site.offer("1.0.0"))
    good = {**site.offer("5.0.0"), "name": "another", "directory": str(site.links / "another")}
    wanted = site.offer("2.0.0")
    told = fault(site, wanted)
    with pytest.raises(Failed, match=told):
        site.apply(good, wanted)
    assert site.used() == {"one": "one 1.0.0", "two": "two 1.0.0"}
    assert site.versions() == ["1.0.0-k"]
    assert not (site.links / "another").exists()


def test_what_is_not_ours_is_not_replaced(site: Site) -> None:
    site.links.mkdir()
    (site.links / "one").write_text("by hand")
    with pytest.raises(Failed, match=r"bin/one: is there and not ours, so demo is not installed over it"):
        site.apply(site.offer("1.0.0"))
    assert (site.links / "one").read_text() == "by hand"
    assert not site.root.exists()


def test_an_unknown_machine_is_told() -> None:
    with pytest.raises(Failed, match="this host is a riscv64; there are artifacts for aarch64, x86_64"):
        _artifact.Host("riscv64", {})


def test_a_run_that_was_killed_is_begun_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.apply(site.offer("1.0.0"))
    left = site.root / "demo" / ".new-killed"
    left.mkdir()
    wanted = site.offer("2.0.0")

    def killed(link: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_artifact, "_point", killed)
        with pytest.raises(KeyboardInterrupt):
            site.apply(wanted)
    assert site.used()["one"] == "one 1.0.0"
    assert not left.exists()
    (step,) = site.apply(wanted)
    assert (step.fetch, step.changed) == (False, True)
    assert site.used()["one"] == "one 2.0.0"


@pytest.fixture
def web(site: Site) -> Iterator[str]:
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site.mirror)))
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_host_gets_it_from_a_web_server(site: Site, web: str) -> None:
    wanted = site.offer("1.0.0")
    site.files.clear()
    wanted["offers"]["amd64"][0]["url"] = f"{web}/1.0.0.tar"
    site.apply(wanted)
    assert site.used()["one"] == "one 1.0.0"
    wanted = site.offer("2.0.0")
    site.files.clear()
    wanted["offers"]["amd64"][0]["url"] = f"{web}/3.0.0.tar"
    with pytest.raises(Failed, match=r"/3\.0\.0\.tar: File not found"):
        site.apply(wanted)


def test_what_is_held_stays_as_it_is(site: Site, tmp_path: Path) -> None:
    joined = tmp_path / "kubelet.conf"
    hold = {"demo": str(joined)}

    def held(wanted: dict[str, Any]) -> dict[str, str]:
        return site.host().held([_artifact.Wanted.of(wanted)], hold)

    first, second = site.offer("1.0.0"), site.offer("2.0.0")
    joined.touch()
    assert held(first) == {}  # never installed: there is nothing to keep
    site.apply(first)
    assert held(first) == {}
    assert held(second) == {"demo": "1.0.0"}
    second["offers"]["amd64"][0]["key"] = "another"  # built anew is another version, too
    assert held({**second, "version": "1.0.0"}) == {"demo": "1.0.0"}
    joined.unlink()
    assert held(second) == {}
