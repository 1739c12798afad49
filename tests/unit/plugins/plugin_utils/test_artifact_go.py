# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Go is called with. That it builds, and twice the same, is in tests/integration/test_mirror.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_go, _artifact_lock

LOCK = _artifact_lock.load()


def recipe(name: str) -> tuple[_artifact_lock.Build, _artifact_lock.Artifact]:
    build = LOCK.artifacts[name].build
    assert build is not None
    return build, LOCK.artifacts[name]


def test_the_module_requires_the_program_and_replaces_what_its_own_module_does() -> None:
    text = _artifact_go.module(*recipe("kubernetes")).splitlines()
    assert text[:3] == ["module example.invalid/holdfast", "", f"go {LOCK.go}"]
    assert "require k8s.io/kubernetes v1.36.3" in text
    assert "replace k8s.io/streaming => k8s.io/streaming v0.36.3" in text


def test_another_module_may_replace_one_and_versions_may_be_excluded() -> None:
    _, artifact = recipe("etcd")
    build = _artifact_lock.Build({}, {}, {"a.org/x": "b.org/y@v1.0.0"}, {"c.org/z": "v2.0.0"}, [], {}, {}, {})
    lines = _artifact_go.module(build, artifact).splitlines()
    assert lines[-2:] == ["replace a.org/x => b.org/y v1.0.0", "exclude c.org/z v2.0.0"]


def test_versions_are_stamped_and_paths_left_out() -> None:
    argv = _artifact_go.command(*recipe("kubernetes"), ["k8s.io/kubernetes/cmd/kubeadm"], "out/")
    flags = next(word for word in argv if word.startswith("-ldflags="))
    assert "-X=k8s.io/component-base/version.gitMajor=1 " in f"{flags} "
    assert "-X=k8s.io/component-base/version.gitMinor=36 " in f"{flags} "
    assert "-trimpath" in argv


def test_the_build_does_not_depend_on_settings_of_the_user() -> None:
    given = {"GOFLAGS": "-tags=x -p=1 -mod=vendor", "GOPRIVATE": "*", "GONOSUMDB": "*"}
    found = _artifact_go.environment("1.26.8", "arm64", given)
    assert found["GOFLAGS"] == "-p=1"
    assert (found["GOPRIVATE"], found["GONOSUMDB"], found["CGO_ENABLED"]) == ("", "", "0")
    assert (found["GOARCH"], found["GOTOOLCHAIN"]) == ("arm64", "go1.26.8")
    assert not {"GOPROXY", "GOSUMDB", "GOCACHE"} & found.keys()


SOURCE = 'package main\n\nimport (\n\t"fmt"\n\t_ "example.org/a"\n\t"example.org/b"\n)\n'


def test_imports_are_left_out_of_a_source() -> None:
    changed = _artifact_go.without(SOURCE, ["example.org/a"], "main.go")
    assert changed == 'package main\n\nimport (\n\t"fmt"\n\t"example.org/b"\n)\n'


def test_an_import_that_is_not_there_is_an_error_of_the_lock_file() -> None:
    with pytest.raises(Failed, match=r"main\.go: does not import example.org/c"):
        _artifact_go.without(SOURCE, ["example.org/c"], "main.go")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (None, "no `go` in PATH"),
        ("echo go1.19.8", "is go1.19.8, too old to build artifacts, which need 1.26.8"),
        (
            'if [ "$GOTOOLCHAIN" = local ]; then echo go1.24.4; else exit 1; fi',
            "could not get it through the Go module",
        ),
        ('echo go1.26.8; if [ "$GOTOOLCHAIN" != local ]; then echo off; fi', "GOSUMDB is off"),
    ],
)
def test_a_go_that_can_not_build_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, told: str
) -> None:
    if script is not None:
        (tmp_path / "go").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed, match=told):
        _artifact_go.ready("1.26.8")


def test_an_older_go_gets_the_one_that_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'if [ "$GOTOOLCHAIN" = local ]; then echo go1.24.4; else echo "$GOTOOLCHAIN"; echo sum.golang.org; fi'
    (tmp_path / "go").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _artifact_go.ready("1.26.8") == "go1.26.8"


def test_a_module_is_changed_in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin, work = tmp_path / "origin", tmp_path / "work"
    (origin / "cmd").mkdir(parents=True)
    work.mkdir()
    (origin / "cmd/main.go").write_text(SOURCE, encoding="utf-8")
    (origin / "cmd/main.go").chmod(0o444)
    (origin / "cmd").chmod(0o555)
    (work / "go.mod").write_text("module x\n", encoding="utf-8")
    monkeypatch.setattr(_artifact_go, "_run", lambda argv, *_: f"{origin}\n" if "list" in argv else "")
    recipe = {"modules": {"example.org/demo": "v1.0.0"}, "omit": {"example.org/demo/cmd/main.go": ["example.org/a"]}}
    build = _artifact_lock.Build({}, recipe["modules"], {}, {}, [], {}, recipe["omit"], {})
    _artifact_go._omit(build, work, {})
    assert (work / "go.mod").read_text() == "module x\nreplace example.org/demo => ./changed-0\n"
    assert "example.org/a" not in (work / "changed-0/cmd/main.go").read_text()
    assert (origin / "cmd/main.go").read_text() == SOURCE
