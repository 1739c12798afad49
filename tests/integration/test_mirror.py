# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror for real, on this machine alone: programs built from the Go module proxy, images that an engine runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.machine import CHECKOUT

docker: Any = pytest.importorskip("docker")
pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go, which builds artifacts")


def fill(mirror: Path, names: str, cache: Path | None = None) -> dict[str, Any]:
    """Fill a mirror as `make mirror` does; returns the records by artifact. cache: Go's, other than the user's."""
    environment = {"GOCACHE": str(cache)} if cache else {}
    done = subprocess.run(
        ["make", "mirror", f"NAMES={names}", f"ARGS=-e mirror_directory={mirror}"],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    records = [json.loads(path.read_text()) for path in mirror.glob("*/record.json")]
    return {record["name"]: record for record in records if "images" in record}


def test_the_pods_first_program_is_built_and_runs_as_an_image(tmp_path: Path) -> None:
    record = fill(tmp_path, "pause")["pause"]
    image = record["images"]["pause"]
    (archive,) = tmp_path.glob(f"*/{image['file']}")
    try:
        engine = docker.from_env()
    except docker.errors.DockerException:
        pytest.skip("this machine has no container engine that runs")
    with archive.open("rb") as file:
        (loaded,) = engine.images.load(file.read())
    try:
        assert (loaded.tags, loaded.id) == ([image["reference"]], image["id"])
        container = engine.containers.run(loaded.id, detach=True)
        try:
            container.reload()
            assert container.status == "running"
            container.stop(timeout=30)
            assert container.wait()["StatusCode"] == 0, "it did not end by itself when it was told to"
        finally:
            container.remove(force=True)
    finally:
        engine.images.remove(image["reference"], force=True)


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("HOLDFAST_TEST_FULL"), reason="two builds: only `make test-full`")
def test_two_builds_give_the_same_programs(tmp_path: Path) -> None:
    first, second = (
        fill(tmp_path / name, "cni-plugins", tmp_path / f"cache-{name}")["cni-plugins"] for name in ("a", "b")
    )
    assert first == second
    assert len(first["programs"]) == 18
