# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock file: what is read from it, and every way in which it is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError

ENTRY: dict[str, Any] = {
    "version": "1.2.3",
    "install": ["demo"],
    "release": {"url": "https://example.org/v{version}/demo-{architecture}", "checksum": "https://example.org/sums"},
    "build": {
        "programs": {"demo": "example.org/demo/cmd/demo"},
        "modules": {"example.org/demo": "v{version}"},
        "stamps": {"example.org/demo.version": "{major}.{minor}"},
    },
    "images": {"demo": {"reference": "example.org/demo:v{version}"}},
}


def changed(entry: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """An entry with another value at a path, or without it (None)."""
    result = copy.deepcopy(entry)
    *parents, last = path.split(".")
    at = result
    for parent in parents:
        at = at[parent]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return result


def load(directory: Path, entry: dict[str, Any]) -> _artifact_lock.Artifact:
    path = directory / "artifacts.lock.yml"
    path.write_text(yaml.safe_dump({"go": "1.26.8", "artifacts": {"demo": entry}}), encoding="utf-8")
    return _artifact_lock.load(path).artifacts["demo"]


def test_the_lock_file_of_the_collection_is_in_order() -> None:
    lock = _artifact_lock.load()
    assert lock.artifacts["etcd"].images[0].reference == f"registry.k8s.io/etcd:{lock.artifacts['etcd'].version}-0"
    assert all(artifact.build for artifact in lock.artifacts.values())


def test_placeholders_are_filled_in(tmp_path: Path) -> None:
    demo = load(tmp_path, ENTRY)
    assert demo.fill("{version} {major} {minor} {architecture}", "arm64") == "1.2.3 1 2 arm64"
    assert demo.images[0].reference == "example.org/demo:v1.2.3"
    assert demo.images[0].entrypoint == ["/usr/local/bin/demo"]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("version", "v1.2.3", "artifacts.demo.version (\"v1.2.3\"): not valid here; a version"),
        ("install", ["dmo"], "artifacts.demo.install (\"dmo\"): is not built; did you mean 'demo'?"),
        ("images.demo.programs", ["other"], "artifacts.demo.images.demo.programs (\"other\"): is not built"),
        ("images.demo.reference", "demo", "registry, path and tag"),
        ("release.url", "http://example.org/x", "artifacts.demo.release.url"),
        ("release.url", "https://example.org/{arch}", "{arch} stands for nothing; possible: architecture"),
        ("release.url", "https://example.org/{", "stands for nothing"),
        ("release.checksum", None, "artifacts.demo.release.checksum: missing; give the https URL"),
        ("release.sha256", {"demo-amd64": "abc"}, "64 lower-case hexadecimal digits"),
        ("build.modules", {"example.org/other": "v1.0.0"}, "artifacts.demo.build.programs.demo (\"example.org/demo"),
        ("build.modules", {"example.org/demo": "latest"}, "a version with its v"),
        ("build.programs", {"demo": "./programs/none"}, "no such directory"),
        ("build.cgo", True, "artifacts.demo.build.cgo (true): unknown key"),
        ("build.sha256", {"x86_64": "0" * 64}, "amd64 or arm64"),
        ("install", None, "artifacts.demo.install: missing; name the programs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_key_and_reason(tmp_path: Path, path: str, value: Any, complaint: str) -> None:
    with pytest.raises(InvalidError) as raised:
        load(tmp_path, changed(ENTRY, path, value))
    assert "artifacts.lock.yml: " in str(raised.value)
    assert complaint in str(raised.value)


def test_an_entry_that_comes_from_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"artifacts\.demo: comes from nowhere; give build or release"):
        load(tmp_path, {"version": "1.2.3", "install": ["demo"]})


@pytest.mark.parametrize(
    ("path", "value", "build", "files"),
    [
        ("build.stamps", {}, True, True),
        ("version", "1.2.4", True, True),
        ("images.demo.entrypoint", ["/demo", "-x"], False, True),
        ("release.checksum", "https://example.org/other", False, False),
        # What sum is expected makes no other program.
        ("build.sha256", {"amd64": "0" * 64}, False, False),
    ],
)
def test_a_key_changes_with_what_makes_another_result(
    tmp_path: Path, path: str, value: Any, build: bool, files: bool
) -> None:
    before, after = load(tmp_path, ENTRY), load(tmp_path, changed(ENTRY, path, value))
    differs = [before.key(kind, "amd64", "build") != after.key(kind, "amd64", "build") for kind in ("build", "files")]
    assert differs == [build, files]


def test_keys_differ_by_architecture_and_source(tmp_path: Path) -> None:
    demo = load(tmp_path, ENTRY)
    cases = [("amd64", "build"), ("arm64", "build"), ("amd64", "release")]
    assert len({demo.key("files", *case) for case in cases}) == 3


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"artifacts\.etcdd: there is no such artifact; did you mean 'etcd'"):
        _artifact_lock.load().chosen(["etcdd"])
