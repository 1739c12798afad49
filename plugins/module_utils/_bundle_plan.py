# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be done: pure comparison of what a bundle wants with what is there.

Nothing here touches the host. A *state* is a plain mapping, so that it goes into the journal and a generation as it is:

    {"type": "absent"}
    {"type": "file", "sha256": hex, "size": bytes, "mode": int, "uid": int, "gid": int}
    {"type": "link", "target": str, "uid": int, "gid": int}
    {"type": "dir", "mode": int, "uid": int, "gid": int}
    {"type": "other"}                       a socket, a device, a pipe

A *manifest* is what the bundle wants: {"files": {path: want}, "directories": {path: want}, "validate": [argv],
"keep": int}. A want is a file or dir state with "owner" and "group" as they were written, and "unit" and "effect".
uid or gid is None when the account does not exist yet, which only check mode lets pass.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

State = dict[str, Any]
Manifest = dict[str, Any]

ABSENT: State = {"type": "absent"}
IMPLIED: State = {"type": "dir", "mode": 0o755, "uid": 0, "gid": 0}
STRENGTH = {"none": 0, "reload": 1, "restart": 2}


class Refused(Exception):
    """The bundle can't be applied; nothing has been changed. `facts` go into the module's result."""

    def __init__(self, message: str, **facts: Any):
        super().__init__(message)
        self.facts = facts


@dataclass
class Step:
    """One change of one path. `action`: mkdir, write, attributes, remove or rmdir."""

    action: str
    path: str
    before: State
    after: State


@dataclass
class Plan:
    """All that a run does, in the order in which it is done.

    changes: [{"path", "change"}] as the result shows them; effects: {unit: reload|restart} of these changes;
    drift: [{"path", "change"}], what differs from the current generation; made: directories this bundle made and still
    owns.
    """

    steps: list[Step] = field(default_factory=list)
    changes: list[dict[str, str]] = field(default_factory=list)
    effects: dict[str, str] = field(default_factory=dict)
    drift: list[dict[str, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


def stronger(one: str, other: str) -> str:
    """The stronger of two effects."""
    return one if STRENGTH[one] >= STRENGTH[other] else other


def merge_effects(*sets: Mapping[str, str]) -> dict[str, str]:
    """{unit: effect} of all sets, the strongest of each unit, sorted by unit; units with effect none are left out."""
    merged: dict[str, str] = {}
    for effects in sets:
        for unit, effect in effects.items():
            merged[unit] = stronger(effect, merged.get(unit, "none"))
    return {unit: merged[unit] for unit in sorted(merged) if merged[unit] != "none"}


def strongest(effects: Mapping[str, str]) -> str:
    """The strongest effect of all units, none when there is none."""
    return max(effects.values(), key=STRENGTH.__getitem__, default="none")


def difference(want: State, there: State) -> str:
    """How `there` differs from `want`, in words joined by commas; empty when it does not.

    >>> difference({"type": "file", "sha256": "a", "mode": 384, "uid": 0, "gid": 0}, ABSENT)
    'created'
    """
    if want["type"] != there["type"]:
        if want["type"] == "absent":
            return "removed"
        return "created" if there["type"] == "absent" else "content"
    words = []
    if want["type"] == "file" and want["sha256"] != there["sha256"]:
        words.append("content")
    if want["type"] == "link" and want["target"] != there["target"]:
        words.append("content")
    names = {"mode": "mode", "uid": "owner", "gid": "group"}
    words += [names[key] for key in names if key in want and want[key] != there[key]]
    return ",".join(words)


def drift_of(recorded: State, there: State) -> str:
    """How a path was changed by hand since it was recorded, in words; empty when it was not."""
    if there["type"] == "absent":
        return "removed"
    return "type" if recorded["type"] != there["type"] else difference(recorded, there)


def ancestors(path: str) -> list[str]:
    """All directories above a path, outermost first, without the root.

    >>> ancestors("/etc/foo/x.conf")
    ['/etc', '/etc/foo']
    """
    found = []
    parent = posixpath.dirname(path)
    while parent not in ("/", ""):
        found.append(parent)
        parent = posixpath.dirname(parent)
    return found[::-1]


class View(Protocol):
    """How the host looks."""

    def state(self, path: str) -> State:
        """The state of a path. A final symlink is not followed unless the path ends in a slash."""

    def entries(self, path: str) -> Sequence[str]:
        """The names in a directory."""


def make_plan(
    manifest: Manifest, previous: Mapping[str, Any], made: Sequence[str], view: View, *, refuse_drift: bool = False
) -> Plan:
    """Compare and order the steps.

    previous: the manifest of the current generation, {} when there is none; made: directories this bundle has made.
    Raises Refused when a directory or a special file is in the way of a file, or something else in the way of a
    directory, or when a path that would be changed was changed by hand and `refuse_drift` is set.
    """
    plan = Plan()
    old = {**previous.get("directories", {}), **previous.get("files", {})}
    needed = set(manifest["directories"])
    for path in [*manifest["files"], *manifest["directories"]]:
        needed.update(ancestors(path))

    _find_drift(plan, old, view)
    _plan_directories(plan, needed, manifest["directories"], view)
    _plan_files(plan, manifest["files"], view)
    _plan_removals(plan, set(previous.get("files", {})) - set(manifest["files"]), view)
    _plan_emptied(plan, needed, made, view)
    if refuse_drift:
        _refuse_loss(plan)
    wants = {**old, **manifest["files"], **manifest["directories"]}
    for change in plan.changes:
        want = wants[change["path"]]
        if want["unit"]:
            plan.effects = merge_effects(plan.effects, {want["unit"]: want["effect"]})
    return plan


def _refuse_loss(plan: Plan) -> None:
    by_hand = {entry["path"]: entry["change"] for entry in plan.drift}
    lost = [change["path"] for change in plan.changes if change["path"] in by_hand]
    if lost:
        listing = ", ".join(f"{path} ({by_hand[path]})" for path in lost)
        raise Refused(
            f"changed by hand since the last run: {listing}. Take the edits into the role or revert them on the host, "
            "or set on_drift: undo to overwrite them.",
            drift=plan.drift,
        )


def _find_drift(plan: Plan, recorded: Mapping[str, State], view: View) -> None:
    for path in sorted(recorded):
        change = drift_of(recorded[path], view.state(path))
        if change:
            plan.drift.append({"path": path, "change": change})


def _plan_directories(plan: Plan, needed: set[str], declared: Mapping[str, State], view: View) -> None:
    """Declared directories, and parents that are missing (root:root 0755, not shown as changes of their own)."""
    for path in sorted(needed):  # a parent sorts before what is in it
        there = view.state(path)
        if there["type"] == "link" and path not in declared and view.state(path + "/")["type"] == "dir":
            continue  # a parent may be a symlink to a directory, as /var/run is
        if there["type"] not in ("dir", "absent"):
            raise Refused(f"{path} has to be a directory, but there is a {_kind(there)} in its way; move it first.")
        after = declared.get(path)
        if there["type"] == "absent":
            plan.steps.append(Step("mkdir", path, there, dict(after or IMPLIED)))
            plan.made.append(path)
            if after:
                plan.changes.append({"path": path, "change": "created"})
        elif after and difference(after, there):
            plan.steps.append(Step("attributes", path, there, dict(after)))
            plan.changes.append({"path": path, "change": difference(after, there)})


def _plan_files(plan: Plan, files: Mapping[str, State], view: View) -> None:
    for path in sorted(files):
        after, there = files[path], view.state(path)
        if there["type"] in ("dir", "other"):
            raise Refused(f"{path} is a {_kind(there)}; the bundle wants a file there. Move it away first.")
        change = difference(after, there)
        if not change:
            continue
        same = there["type"] == "file" and there["sha256"] == after["sha256"]
        plan.steps.append(Step("attributes" if same else "write", path, there, dict(after)))
        plan.changes.append({"path": path, "change": change})


def _plan_removals(plan: Plan, dropped: set[str], view: View) -> None:
    for path in sorted(dropped):
        there = view.state(path)
        if there["type"] in ("file", "link"):
            plan.steps.append(Step("remove", path, there, dict(ABSENT)))
            plan.changes.append({"path": path, "change": "removed"})


def _plan_emptied(plan: Plan, needed: set[str], made: Sequence[str], view: View) -> None:
    """Directories that this bundle made and needs no more go, innermost first, unless something else lies in them."""
    going = {step.path for step in plan.steps if step.action == "remove"}
    for path in sorted(made, reverse=True):
        there = view.state(path)
        if there["type"] != "dir":
            continue
        left = [name for name in view.entries(path) if posixpath.join(path, name) not in going]
        if path in needed or left:
            plan.made.append(path)
        else:
            plan.steps.append(Step("rmdir", path, there, dict(ABSENT)))
            going.add(path)
    plan.made = sorted(set(plan.made))


def _kind(state: State) -> str:
    return {"dir": "directory", "link": "symlink", "other": "special file", "file": "file"}[state["type"]]
