# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How problems are worded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import (
    InvalidError,
    Problem,
    joined,
    nearest,
    read,
    shown,
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([], ""),
        (["pools"], "pools"),
        (["pools", "data", "hosts", 2, "address"], "pools.data.hosts[2].address"),
        ([0, "a"], "[0].a"),
    ],
)
def test_joined(path: list[str | int], text: str) -> None:
    assert joined(path) == text


@pytest.mark.parametrize(
    ("word", "known", "advice"),
    [
        ("etdc", ["etcd", "base"], "did you mean 'etcd'? known: base, etcd"),
        ("x", ["etcd", "base"], "known: base, etcd"),
        ("x", [], "known: none"),
        (7, ["a"], "known: a"),
    ],
)
def test_nearest(word: Any, known: list[str], advice: str) -> None:
    assert nearest(word, known) == advice


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", '"a"'), (["é"], '["é"]'), (True, "true"), (Path("x"), '"x"'), ("y" * 100, '"' + "y" * 56 + "...")],
)
def test_shown(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("f.yml", "a.b", 1, "wrong", "do better"), "f.yml: a.b (1): wrong; do better"),
        (Problem("f.yml", "a", None, "missing", "give it"), "f.yml: a: missing; give it"),
        (Problem("f.yml", "", None, "unreadable", "look"), "f.yml: the file: unreadable; look"),
    ],
)
def test_message(problem: Problem, text: str) -> None:
    assert str(problem) == text
    assert str(InvalidError([problem, problem])) == f"{text}\n{text}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="can't be read: No such file or directory"):
        read(tmp_path / "site.yml")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: [\n", "line 3", "no valid YAML"),
        ("a: {b: 1, b: 2}\n", "line 1", "the key 'b' stands here twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n  d: 2\n", "line 3", "the key 'd' stands here twice"),
        ("a: !vault |\n  x\n", "line 1", "no valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str, line: str, reason: str) -> None:
    (tmp_path / "site.yml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidError) as caught:
        read(tmp_path / "site.yml", "site.yml")
    [problem] = caught.value.problems
    assert reason in problem.reason
    assert problem.key == line


def test_anchors_and_merges_are_read(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n", encoding="utf-8")
    assert read(tmp_path / "site.yml") == {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}
