# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to restore, and out of which backup: pure decisions over what `pgbackrest info --output=json` says.

The shape of that answer: https://pgbackrest.org/command.html, section Info Command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: A time with its zone: 2026-11-21 14:03:00+01:00, 2026-11-21T13:03:00.5Z
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d(?:\.\d{1,6})?))?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?", re.IGNORECASE
)
#: Restore points have names of up to 63 bytes (PostgreSQL, pg_create_restore_point).
_NAME = re.compile(r"[^\x00-\x1f'\"\\]{1,63}")


@dataclass(frozen=True)
class Target:
    """Where recovery ends. kind is `newest`, `time`, `xid` or `name`; value is in PostgreSQL's form, a time in UTC.

    exclusive: end just before the transaction (xid), or before commits at exactly that time. timeline: number of the
    timeline to follow, 0 for the newest.
    """

    kind: str = "newest"
    value: str = ""
    exclusive: bool = False
    timeline: int = 0

    def __str__(self) -> str:
        """Return it in words."""
        said = "the newest state" if self.kind == "newest" else f"{self.kind} {self.value}"
        return (
            said
            + (" (exclusive)" if self.exclusive else "")
            + (f" on timeline {self.timeline}" if self.timeline else "")
        )

    @property
    def moment(self) -> datetime | None:
        """The time that is asked for, if it is one."""
        return datetime.strptime(self.value, "%Y-%m-%d %H:%M:%S.%f%z") if self.kind == "time" else None


@dataclass(frozen=True)
class Backup:
    """One backup in one repository: begin and end as seconds since 1970, size of the database in bytes."""

    label: str
    repo: int
    kind: str
    start: float
    stop: float
    size: int
    timeline: int
    damaged: bool
    system: str


@dataclass(frozen=True)
class Repository:
    """One repository: why it can't be read (empty when it can), and the newest WAL segment it holds per system."""

    key: int
    problem: str
    newest_wal: Mapping[str, str]


@dataclass(frozen=True)
class Stock:
    """What the repositories hold of one stanza."""

    repositories: Sequence[Repository] = ()
    backups: Sequence[Backup] = ()


def parse_time(text: str) -> datetime:
    """A time with its zone, in UTC. Raises Failed for one without a zone, and for what is no time."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise Failed(f"time: '{text}' is no time; write it as in 2026-11-21 14:03:00+00:00")
    day, minute, second, zone = match.groups()
    if not zone:
        raise Failed(f"time: '{text}' has no time zone; write {text.strip()}+00:00 if it is UTC")
    if zone.upper() in ("Z", "UTC"):
        zone = "+0000"
    zone = zone.replace(":", "").ljust(5, "0")
    whole, _, fraction = (second or "00").partition(".")
    try:
        moment = datetime.strptime(f"{day} {minute}:{whole}.{fraction.ljust(6, '0')}{zone}", "%Y-%m-%d %H:%M:%S.%f%z")
    except ValueError as error:
        raise Failed(f"time: '{text}' does not exist: {error}") from error
    return moment.astimezone(timezone.utc)


def parse_target(
    *,
    time: str | None = None,
    xid: str | int | None = None,
    name: str | None = None,
    exclusive: bool = False,
    timeline: int = 0,
    now: datetime,
) -> Target:
    """The target that was asked for. Raises Failed for two of them, a time in the future, or one that can't be."""
    given = {kind: value for kind, value in (("time", time), ("xid", xid), ("name", name)) if value not in (None, "")}
    if len(given) > 1:
        raise Failed(f"{' and '.join(given)}: give one of them")
    if exclusive and "time" not in given and "xid" not in given:
        raise Failed("exclusive: goes with time or xid only")
    if not given:
        return Target(timeline=timeline)
    ((kind, raw),) = given.items()
    value = str(raw)
    if kind == "time":
        moment = parse_time(value)
        if moment > now:
            raise Failed(f"time: {moment.isoformat(' ')} is in the future; it is {now.isoformat(' ', 'seconds')} now")
        value = moment.strftime("%Y-%m-%d %H:%M:%S.%f+0000")
    elif kind == "xid" and not (value.isdigit() and int(value) > 2):
        raise Failed(f"xid: '{value}' is no transaction; it is a number above 2, as pg_current_xact_id() says")
    elif kind == "name" and not _NAME.fullmatch(value):
        raise Failed("name: a restore point has at most 63 characters, and no quotes or backslashes")
    return Target(kind, value, exclusive, timeline)


def parse_info(text: str, stanza: str) -> Stock:
    """Repositories and backups out of pgBackRest's answer. Raises Failed when it is none."""
    try:
        answer = json.loads(text, strict=False)  # with a wrong key, what a message quotes is bytes of all kinds
    except ValueError as error:
        raise Failed(f"pgbackrest info: no JSON (is the key wrong?): {text[:300]}") from error
    found = next((entry for entry in answer if entry["name"] == stanza), None)
    if found is None:
        raise Failed(f"no repository knows the stanza '{stanza}'; did it ever back up?")
    systems = {(entry["repo-key"], entry["id"]): str(entry["system-id"]) for entry in found.get("db", ())}
    newest: dict[int, dict[str, str]] = {}
    for entry in found.get("archive", ()):
        place = entry["database"]["repo-key"], entry["database"]["id"]
        if entry.get("max"):
            newest.setdefault(place[0], {})[systems.get(place, "")] = entry["max"]
    repositories = [
        Repository(entry["key"], _problem(entry["status"]), newest.get(entry["key"], {}))
        for entry in found.get("repo", ())
    ]
    return Stock(tuple(repositories), tuple(_backup(entry, systems) for entry in found.get("backup", ())))


def _problem(status: Mapping[str, Any]) -> str:
    # 0: ok. 2: no valid backups, which is said elsewhere, with what was asked for.
    return "" if status["code"] in (0, 2) else " ".join(str(status["message"]).split())


def _backup(entry: Mapping[str, Any], systems: Mapping[tuple[int, int], str]) -> Backup:
    repo = entry["database"]["repo-key"]
    return Backup(
        label=entry["label"],
        repo=repo,
        kind=entry["type"],
        start=entry["timestamp"]["start"],
        stop=entry["timestamp"]["stop"],
        size=entry["info"]["size"],
        timeline=int(entry["archive"]["start"][:8], 16),
        damaged=bool(entry.get("error")),
        system=systems.get((repo, entry["database"]["id"]), ""),
    )


def choose(target: Target, stock: Stock, label: str | None = None) -> Backup:
    """The backup to begin with: the newest that ends before the target, in a repository that can be read.

    label takes this one instead. Of two copies the one in the repository with the smaller number is taken. Raises
    Failed with the reason when none fits: what is wrong with each repository, or how far the backups go back.
    """
    troubles = [f"repository {one.key}: {one.problem}" for one in stock.repositories if one.problem]
    readable = {one.key for one in stock.repositories if not one.problem}
    if not readable:
        raise Failed(f"no repository can be read: {'; '.join(troubles) or 'none is configured'}")
    known = sorted((one for one in stock.backups if one.repo in readable), key=lambda one: (-one.stop, one.repo))
    if not known:
        raise Failed("; ".join(["no backup in the repositories that can be read", *troubles]))
    fitting = [one for one in known if label in (None, "", one.label)]
    if not fitting:
        raise Failed(f"set: there is no backup {label}; there are {', '.join(_labels(known))}")
    moment = target.moment
    before = [one for one in fitting if moment is None or one.stop < moment.timestamp()]
    before = [one for one in before if not target.timeline or one.timeline <= target.timeline]
    if not before:
        oldest = fitting[-1]
        ended = datetime.fromtimestamp(oldest.stop, timezone.utc).isoformat(" ")
        said = f"no backup ends before {target}; the oldest, {oldest.label}, ended at {ended}"
        raise Failed("; ".join([f"{said} on timeline {oldest.timeline}", *troubles]))
    return before[0]


def _labels(backups: Iterable[Backup]) -> list[str]:
    return sorted({one.label for one in backups}, reverse=True)


def arguments(target: Target, backup: Backup) -> list[str]:
    """The options of `pgbackrest restore`. Recovery waits at the target: promotion is a step of its own.

    The newest state has no target to wait at. A standby without a leader replays all that there is and then waits.
    """
    options = [f"--set={backup.label}", f"--repo={backup.repo}"]
    if target.kind == "newest":
        options.append("--type=standby")
    else:
        options += [f"--type={target.kind}", f"--target={target.value}", "--target-action=pause"]
    if target.exclusive:
        options.append("--target-exclusive")
    if target.timeline:
        options.append(f"--target-timeline={target.timeline}")
    return options


def newest_wal(repositories: Iterable[Repository], system: str, timeline: int) -> str:
    """The newest WAL segment that any readable repository has of a timeline; empty when there is none."""
    segments = [
        one.newest_wal[system] for one in repositories if not one.problem and one.newest_wal.get(system)
    ]  # names of segments sort as their timelines and places do
    return max((one for one in segments if int(one[:8], 16) == timeline), default="")


def segment(timeline: int, lsn: str, segment_bytes: int = 16 * 1024 * 1024) -> str:
    """The name of the WAL segment that holds the byte before an LSN (the last byte that was replayed).

    PostgreSQL: XLogFileName in src/include/access/xlog_internal.h.
    """
    high, low = (int(part, 16) for part in lsn.split("/"))
    number = (((high << 32) | low) - 1) // segment_bytes
    per_id = 0x100000000 // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"
