# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of wanted and found states, and the steps, effects, drift and refusals that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_plan as plan

A, B, D = "/etc/x/a", "/etc/x/b", "/etc/x/d"


def file(sha: str = "1", mode: int = 0o644, uid: int | None = 0, gid: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "file", "sha256": sha, "size": 1, "mode": mode, "uid": uid, "gid": gid, **more}


def directory(mode: int = 0o755, uid: int = 0, gid: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "dir", "mode": mode, "uid": uid, "gid": gid, **more}


def link(target: str = "t") -> dict[str, Any]:
    return {"type": "link", "target": target, "uid": 0, "gid": 0}


def wanted(state: dict[str, Any], unit: str | None = None, effect: str = "none") -> dict[str, Any]:
    return {**state, "owner": "o", "group": "g", "unit": unit, "effect": effect}


class Host:
    """A host of a table: what it does not name is absent, and its directories hold what it names."""

    def __init__(self, states: dict[str, Any]):
        self.states = {"/etc": directory(), **states}

    def state(self, path: str) -> dict[str, Any]:
        return self.states.get(path, plan.ABSENT)

    def entries(self, path: str) -> Sequence[str]:
        return [name.rpartition("/")[2] for name in self.states if name.rpartition("/")[0] == path]


def make(
    files: dict[str, Any],
    host: dict[str, Any],
    *,
    directories: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    made: Sequence[str] = (),
    refuse: bool = False,
) -> plan.Plan:
    manifest = {"files": files, "directories": directories or {}}
    before = {"files": previous} if previous else {}
    return plan.make_plan(manifest, before, made, Host(host), refuse_drift=refuse)


@pytest.mark.parametrize(
    ("want", "there", "words"),
    [
        (file(), file(), ""),
        (file(), plan.ABSENT, "created"),
        (file(), link(), "content"),
        (file("2"), file("1"), "content"),
        (file(mode=0o600), file(), "mode"),
        (file("2", mode=0o600, uid=5, gid=6), file(), "content,mode,owner,group"),
        (file(uid=None), file(), "owner"),
        (directory(), directory(mode=0o700), "mode"),
        (plan.ABSENT, file(), "removed"),
        (link("a"), link("b"), "content"),
    ],
)
def test_difference(want: dict[str, Any], there: dict[str, Any], words: str) -> None:
    assert plan.difference(want, there) == words


@pytest.mark.parametrize(
    ("sets", "merged"),
    [
        ([], {}),
        ([{"a": "none"}], {}),
        ([{"a": "reload"}, {"a": "restart"}], {"a": "restart"}),
        ([{"a": "restart"}, {"a": "reload"}], {"a": "restart"}),
        ([{"b": "reload"}, {"a": "reload"}], {"a": "reload", "b": "reload"}),
    ],
)
def test_merge_effects(sets: list[dict[str, str]], merged: dict[str, str]) -> None:
    assert plan.merge_effects(*sets) == merged
    assert list(plan.merge_effects(*sets)) == sorted(merged)


@pytest.mark.parametrize(
    ("effects", "strongest"),
    [({}, "none"), ({"a": "reload"}, "reload"), ({"a": "reload", "b": "restart"}, "restart")],
)
def test_strongest(effects: dict[str, str], strongest: str) -> None:
    assert plan.strongest(effects) == strongest


@pytest.mark.parametrize(
    ("files", "host", "more", "steps"),
    [
        # nothing to do
        ({A: file()}, {"/etc/x": directory(), A: file()}, {}, []),
        # missing parents come first, and are root's
        ({A: file()}, {}, {}, ["mkdir /etc/x", f"write {A}"]),
        # the same bytes are not written again
        ({A: file(mode=0o600)}, {"/etc/x": directory(), A: file()}, {}, [f"attributes {A}"]),
        ({A: file("2")}, {"/etc/x": directory(), A: file()}, {}, [f"write {A}"]),
        # a link is replaced, even one to the right bytes
        ({A: file()}, {"/etc/x": directory(), A: link()}, {}, [f"write {A}"]),
        # what is not declared any more goes, and directories that were made for it
        ({}, {"/etc/x": directory(), A: file()}, {"previous": {A: file()}, "made": ["/etc/x"]},
         [f"remove {A}", "rmdir /etc/x"]),
        ({}, {"/etc/x": directory(), A: file()}, {"previous": {A: file()}}, [f"remove {A}"]),
        # not when something else lies in it, nor when it is still needed
        ({}, {"/etc/x": directory(), A: file(), B: file()}, {"previous": {A: file()}, "made": ["/etc/x"]},
         [f"remove {A}"]),
        ({B: file()}, {"/etc/x": directory(), A: file(), B: file()}, {"previous": {A: file()}, "made": ["/etc/x"]},
         [f"remove {A}"]),
        # a directory in the place of a file that was ours is somebody else's now
        ({}, {"/etc/x": directory(), A: directory()}, {"previous": {A: file()}}, []),
        # already gone
        ({}, {"/etc/x": directory()}, {"previous": {A: file()}}, []),
        # a parent that is a link to a directory is a directory
        ({A: file()}, {"/etc/x": link(), "/etc/x/": directory()}, {}, [f"write {A}"]),
        # directories of its own
        ({}, {"/etc/x": directory(), D: directory(mode=0o700)}, {"directories": {D: directory()}}, [f"attributes {D}"]),
        ({}, {"/etc/x": directory()}, {"directories": {D: directory()}}, [f"mkdir {D}"]),
    ],
)  # fmt: skip
def test_steps(files: dict[str, Any], host: dict[str, Any], more: dict[str, Any], steps: list[str]) -> None:
    files = {path: wanted(state) for path, state in files.items()}
    more = {**more, "directories": {path: wanted(state) for path, state in more.get("directories", {}).items()}}
    if "previous" in more:
        more["previous"] = {path: wanted(state) for path, state in more["previous"].items()}
    found = make(files, host, **more)
    assert [f"{step.action} {step.path}" for step in found.steps] == steps


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"/etc/x": directory(), A: directory()}, "/etc/x/a is a directory; the bundle wants a file there"),
        ({"/etc/x": directory(), A: {"type": "other"}}, "/etc/x/a is a special file"),
        ({"/etc/x": file()}, "/etc/x has to be a directory, but there is a file in its way"),
        ({"/etc/x": link(), "/etc/x/": file()}, "/etc/x has to be a directory, but there is a symlink in its way"),
        ({"/etc/x": link()}, "/etc/x has to be a directory, but there is a symlink in its way"),
    ],
)
def test_refuses(host: dict[str, Any], message: str) -> None:
    with pytest.raises(plan.Refused, match=message):
        make({A: wanted(file())}, host)


def test_effects_are_of_what_changes() -> None:
    files = {
        A: wanted(file("2"), "one.service", "reload"),
        B: wanted(file("1"), "two.service", "restart"),
    }
    host = {"/etc/x": directory(), A: file("1"), B: file("1"), "/etc/x/c": file()}
    previous = {"/etc/x/c": wanted(file(), "one.service", "restart")}
    assert make(files, host).effects == {"one.service": "reload"}
    assert make(files, host, previous=previous).effects == {"one.service": "restart"}


@pytest.mark.parametrize(
    ("there", "want", "drift", "refused"),
    [
        (file(), file(), None, False),
        (file("edited"), file(), "content", True),
        (plan.ABSENT, file(), "removed", True),
        (link(), file(), "type", True),
        (file(mode=0o600), file(), "mode", True),
        (file("2"), file("2"), "content", False),  # the edit is what the role has now as well
    ],
)
def test_drift(there: dict[str, Any], want: dict[str, Any], drift: str | None, refused: bool) -> None:
    files, host, previous = {A: wanted(want)}, {"/etc/x": directory(), A: there}, {A: wanted(file())}
    expected = [{"path": A, "change": drift}] if drift else []
    assert make(files, host, previous=previous).drift == expected
    if refused:
        with pytest.raises(plan.Refused, match="changed by hand since the last run: /etc/x/a") as caught:
            make(files, host, previous=previous, refuse=True)
        assert caught.value.facts == {"drift": expected}
    else:
        make(files, host, previous=previous, refuse=True)
