# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `--diff` shows of one changed path. Secrets and binary files show only that they change."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._bundle_plan import State

# Ansible's own limit for diffs (MAX_FILE_SIZE_FOR_DIFF), bytes
LIMIT = 104448
READABLE_FOR_OTHERS = 0o004
# What is shorter than this in a secret file is an everyday word
SHORTEST = 6


def is_secret(state: State) -> bool:
    """A file that others may not read, by its mode."""
    return state["type"] == "file" and not state["mode"] & READABLE_FOR_OTHERS


def is_shown(state: State) -> bool:
    """A file whose content may be shown, unless it turns out to be binary."""
    return state["type"] == "file" and state["size"] <= LIMIT and not is_secret(state)


def show(path: str, before: State, after: State, texts: dict[str, bytes]) -> list[dict[str, str]]:
    """Diff entries as Ansible prints them.

    texts: {sha256: bytes} of the contents that may be shown; a missing one is too large.
    """
    entries = []
    reason = _hidden(before, after, texts)
    if reason:
        verb = {"absent": "created"}.get(before["type"], "removed" if after["type"] == "absent" else "changes")
        if _text_differs(before, after):
            entries.append({"prepared": f"{path}: content {verb}, not shown ({reason})\n"})
    elif _text_differs(before, after):
        entries.append(_entry(path, _text(before, texts), _text(after, texts)))
    attributes = [_attributes(before), _attributes(after)]
    if all(attributes) and attributes[0] != attributes[1]:
        entries.append(_entry(path, *attributes))
    return entries


def mask(text: str, secrets: Iterable[bytes]) -> str:
    """A program's output without the lines of secret files and the values in them, should it have quoted any."""
    hidden = set()
    for data in secrets:
        for line in data.decode(errors="replace").splitlines():
            value = re.split(r"[\s=:]+", line.strip(), maxsplit=1)[-1].strip("\"', ;")
            hidden |= {part for part in (line.strip(), value) if len(part) >= SHORTEST and not part.startswith("/")}
    for part in sorted(hidden, key=len, reverse=True):
        text = text.replace(part, "********")
    return text


def _entry(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def _text_differs(before: State, after: State) -> bool:
    keys = ("type", "sha256", "target")
    return [before.get(key) for key in keys] != [after.get(key) for key in keys]


def _hidden(before: State, after: State, texts: dict[str, bytes]) -> str:
    if is_secret(before) or is_secret(after):
        return "only its owner or group may read it"
    for state in (before, after):
        if state["type"] == "file":
            data = texts.get(state["sha256"])
            if data is None:
                return "too large"
            if _is_binary(data):
                return "binary"
    return ""


def _is_binary(data: bytes) -> bool:
    try:
        return "\0" in data.decode()
    except UnicodeDecodeError:
        return True


def _text(state: State, texts: dict[str, bytes]) -> str:
    if state["type"] == "file":
        return texts[state["sha256"]].decode()
    return {"link": f"symlink to {state.get('target')}\n", "dir": "directory\n"}.get(state["type"], "")


def _attributes(state: State) -> str:
    if state["type"] not in ("file", "dir"):
        return ""
    return f"owner: {state['uid']}\ngroup: {state['gid']}\nmode: {state['mode']:04o}\n"
