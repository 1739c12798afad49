# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts on a real host: built here, brought there or fetched from a web server, refused, and gone back from."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import RunningLab

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go, which builds artifacts")

HOST = "app-c1"
ARM64 = 183
"""What an ELF header calls it; at byte 18, behind the first 512 of an archive."""
DIRECTORY = "/usr/local/lib/holdfast-test"


def lock(directory: Path, version: str) -> Path:
    """A lock file with one artifact, the smallest there is, in a version whose bytes no other has."""
    # A tag changes nothing but what the program says of its own build.
    build = {"programs": {"holdfast-test": "./programs/pause"}, "tags": [f"v{version.replace('.', '_')}"]}
    entry = {"version": version, "install": ["holdfast-test"], "directory": DIRECTORY, "build": build}
    path = directory / f"{version}.lock.yml"
    path.write_text(yaml.safe_dump({"go": "1.26.8", "artifacts": {"holdfast-test": entry}}), encoding="utf-8")
    return path


def change(mirror: Path, copy: Path, *, at: int, byte: int, recorded: bool = False) -> None:
    """Copy a mirror with another byte in its archives; recorded: as if they had been made like that."""
    shutil.copytree(mirror, copy)
    for archive in copy.glob("*/holdfast-test.tar"):
        content = bytearray(archive.read_bytes())
        assert content[at] != byte
        content[at] = byte
        archive.write_bytes(content)
        if recorded:
            path = archive.with_name("record.json")
            record = json.loads(path.read_text())
            record["archive"]["sha256"] = hashlib.sha256(content).hexdigest()
            path.write_text(json.dumps(record))


@pytest.fixture
def published(tmp_path: Path) -> Iterator[int]:
    """The port at which a web server on this machine publishes the mirror."""
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    directory = partial(handler, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("0.0.0.0", 0), directory) as server:  # noqa: S104 -- the host comes over its zone's network
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def results(said: str) -> dict[str, dict[str, Any]]:
    played = json.loads(said[said.index("{") :])["plays"]
    return {task["task"]["name"]: host for play in played for task in play["tasks"] for host in task["hosts"].values()}


def test_artifacts_on_a_host(lab: RunningLab, tmp_path: Path, published: int) -> None:
    mirror, empty, damaged, foreign = (tmp_path / name for name in ("mirror", "empty", "damaged", "foreign"))
    locks = {version: str(lock(tmp_path, version)) for version in ("1.0.0", "2.0.0")}
    gateway = lab.address(HOST).rpartition(".")[0] + ".1"
    lab.run(HOST, f"rm -rf {DIRECTORY} /opt/holdfast/artifacts/holdfast-test")

    def fill(*tasks: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return run("localhost", [{"holdfast.platform.mirror": {"source": "build", **task}} for task in tasks])

    def ask(*tasks: dict[str, Any]) -> dict[str, dict[str, Any]]:
        calls = [
            {
                "name": task.pop("name"),
                "check_mode": task.pop("check", False),
                "ignore_errors": True,
                "holdfast.platform.artifact": {"names": ["holdfast-test"], **task},
            }
            for task in tasks
        ]
        return run(HOST, calls)

    def run(hosts: str, tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        playbook = tmp_path / "play.yml"
        play = {"hosts": hosts, "gather_facts": False, "become": hosts == HOST, "tasks": tasks}
        playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
        done = lab.play(playbook, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return results(done.stdout)

    def in_use() -> str:
        return lab.run(HOST, f"sha256sum < {DIRECTORY}/holdfast-test").split()[0]

    fill(
        {"lock": locks["1.0.0"], "directory": str(mirror)},
        {"lock": locks["2.0.0"], "directory": str(mirror)},
    )
    built = {
        record["version"]: record["programs"]["holdfast-test"]
        for path in mirror.glob("*/record.json")
        if "images" in (record := json.loads(path.read_text()))
    }
    assert len(set(built.values())) == 2
    change(mirror, damaged, at=5000, byte=0xFF)
    change(mirror, foreign, at=512 + 18, byte=ARM64, recorded=True)

    said = ask(
        {"name": "look", "check": True, "lock": locks["1.0.0"], "directory": str(mirror)},
        {"name": "install", "lock": locks["1.0.0"], "directory": str(mirror)},
        {"name": "again", "lock": locks["1.0.0"], "directory": str(empty)},
    )
    assert (said["look"]["changed"], said["look"]["programs"]) == (True, ["holdfast-test"])
    assert (said["install"]["changed"], said["install"]["missing"]) == (True, ["holdfast-test"])
    assert said["again"]["changed"] is False
    assert in_use() == built["1.0.0"]
    # It is a program that runs here: told to end, it ends well.
    assert lab.run(HOST, f"timeout --preserve-status 1 {DIRECTORY}/holdfast-test && echo ended").strip() == "ended"

    said = ask(
        {"name": "damaged", "lock": locks["2.0.0"], "directory": str(damaged)},
        {"name": "missing", "lock": locks["2.0.0"], "directory": str(empty)},
        {"name": "foreign", "lock": locks["2.0.0"], "directory": str(foreign)},
    )
    assert "is damaged: its sum is" in said["damaged"]["msg"]
    assert "holdfast-test 2.0.0 for amd64: the mirror has nothing of it" in said["missing"]["msg"]
    assert "is for arm64, expected amd64" in said["foreign"]["msg"]
    assert in_use() == built["1.0.0"]

    url = f"http://{gateway}:{published}"
    said = ask(
        {"name": "fetch", "lock": locks["2.0.0"], "directory": str(mirror), "url": url},
        {"name": "again", "lock": locks["2.0.0"], "directory": str(mirror), "url": url},
    )
    assert (said["fetch"]["changed"], said["fetch"]["programs"]) == (True, ["holdfast-test"])
    assert said["again"]["changed"] is False
    assert in_use() == built["2.0.0"]

    back = ask({"name": "back", "lock": locks["1.0.0"], "directory": str(empty)})["back"]
    assert (back["changed"], back["missing"]) == (True, [])
    assert in_use() == built["1.0.0"]
