# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which controller rotates an owner's secrets, as a host knows it: a lease with a fencing token.

A controller that was cut off and comes back, or one that works from another copy of the secrets, has a smaller token
than the one that followed it. Every host that has seen the greater one refuses it.
"""

from __future__ import annotations

import fcntl
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ROOT = Path("/var/lib/holdfast/rotation")


class Held(Failed):
    """Another controller rotates; `holder` is its name."""

    def __init__(self, holder: str, reason: str) -> None:
        """Take its name, and the text for people."""
        super().__init__(reason)
        self.holder = holder


@dataclass(frozen=True)
class Lease:
    """Who rotates. until: seconds since 1970 by the host's own clock; afterwards another one may. 0 when it is done."""

    controller: str
    token: int
    until: float


def judge(held: Lease | None, wanted: Lease, now: float, gone: frozenset[str] | None) -> str:
    """Why the wanted lease is refused; empty when it is granted.

    now: seconds since 1970. gone: controllers that are known to have ended; None: whoever it is.
    """
    if held is None or held.controller == wanted.controller:
        return ""
    if wanted.token < held.token:
        return (
            f"{held.controller} has taken the rotation over: this host has seen its token {held.token}, and this run's "
            f"is {wanted.token}; nothing was changed here. Run it again with the secrets that the other run left"
        )
    if held.until > now and gone is not None and held.controller not in gone:
        return (
            f"{held.controller} is at work on a rotation, for another {held.until - now:.0f} s as this host knows; "
            "nothing was changed here. Wait for it, or say that it is dead with rotate_take_over=true"
        )
    return ""


def take(owner: str, wanted: Lease, *, gone: frozenset[str] | None = frozenset(), root: Path = ROOT) -> None:
    """Let the host know who rotates. Raises Held when another controller does, Failed when the host can't keep it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", owner):
        raise Failed(f"owner: {owner!r} is no name of an owner of secrets")
    path = root / f"{owner}.json"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (root / ".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = _read(path)
            refusal = judge(held, wanted, time.time(), gone)
            if held and refusal:
                raise Held(held.controller, refusal)
            _durable.write(path, json.dumps(asdict(wanted)))
    except OSError as error:
        raise Failed(f"{path}: this host can't keep who rotates its secrets: {error.strerror}") from error


def _read(path: Path) -> Lease | None:
    """What the host knows; a file that makes no sense is none, as after a crash of the disk."""
    try:
        return Lease(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
