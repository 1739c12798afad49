# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence: what each day-2 operation leaves behind, as a chain of records in a file of JSON lines.

A record carries the SHA-256 of its own content and that of the record before it, so a record that was changed,
removed, inserted or moved breaks the chain at a place that can be named. Whoever may write the file could compute the
whole chain anew, or cut off its end: against that the managed hosts keep the heads that they have seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._columns import aligned

START = "0" * 64  # `previous` of the first record
OUTCOMES = ("started", "succeeded", "failed")
# Longest reason and longest figure, in characters.
TEXT, FIGURE = 500, 200
SHOWN = 120  # of a reason in the table

Record = Mapping[str, Any]


class EvidenceError(Exception):
    """Evidence can't be read, written or trusted; the text says why, and what would be right."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the chain, and where: the line of the file (0: at its end), counted from 1."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}" if self.line else f"end of the file: {self.what}"


# The chain, without any file


def digest(record: Record) -> str:
    """SHA-256 of a record without its `hash`, in hex, over JSON with sorted keys, no spaces, and ASCII only."""
    content = {key: value for key, value in record.items() if key != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(content: Record, previous: Record | None) -> dict[str, Any]:
    """Give content its place behind the previous record: `sequence`, `previous`, `hash`."""
    record = {
        **content,
        "sequence": int(previous["sequence"]) + 1 if previous else 1,
        "previous": previous["hash"] if previous else START,
    }
    return {**record, "hash": digest(record)}


def parse(line: str) -> dict[str, Any]:
    """Read one line. Raises ValueError when it is no record."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - as what json raises for a line that is no JSON
    wanted: dict[str, type] = {"sequence": int, "previous": str, "hash": str, "time": str, "operation": str}
    wrong = [key for key, kind in wanted.items() if not isinstance(record.get(key), kind)]
    if wrong:
        raise ValueError(f"{wrong[0]} is missing or of the wrong type")
    return record


def check(lines: Sequence[str], witnessed: Mapping[str, Sequence[Sequence[Any]]] | None = None) -> list[Fault]:
    """Everything that is wrong with a chain; empty when all is well.

    lines: those of the file, without their ends. witnessed: what hosts have seen, {host: [[sequence, hash], ...]}.
    """
    faults: list[Fault] = []
    known: dict[int, tuple[int, str]] = {}  # {sequence: (line, hash)}
    sequence, previous = 0, START
    for number, line in enumerate(lines, 1):
        try:
            record = parse(line)
        except ValueError as error:
            faults.append(Fault(number, f"is no record: {error}"))
            sequence, previous = sequence + 1, ""
            continue
        here, own = record["sequence"], record["hash"]
        label = f"record {here} ({' '.join(str(record.get(key, '?')) for key in ('operation', 'service', 'outcome'))})"
        if own != digest(record):
            faults.append(Fault(number, f"{label} was changed: its hash is not that of its content"))
        if here != sequence + 1:
            how = "removed, or moved" if here > sequence + 1 else "inserted, or moved"
            faults.append(Fault(number, f"{label} stands where record {sequence + 1} belongs: one was {how}"))
        elif previous and record["previous"] != previous:
            faults.append(Fault(number, f"{label} does not follow the record before it: that one came afterwards"))
        sequence, previous = here, own
        known[here] = (number, own)
    return faults + _against_witnesses(known, witnessed or {})


def _against_witnesses(
    known: Mapping[int, tuple[int, str]], witnessed: Mapping[str, Sequence[Sequence[Any]]]
) -> list[Fault]:
    seen: dict[tuple[int, str], list[str]] = {}
    for host, heads in sorted(witnessed.items()):
        for sequence, own in heads:
            seen.setdefault((int(sequence), str(own)), []).append(host)
    faults = []
    for (sequence, own), hosts in sorted(seen.items()):
        line, here = known.get(sequence, (0, ""))
        if here != own:
            what = "is another one than" if here else "is missing; it was witnessed by"
            faults.append(Fault(line, f"record {sequence} {what} {', '.join(hosts)}{' witnessed' if here else ''}"))
    return faults


def chain_of(records: Sequence[Record]) -> str:
    """The name of a chain, under which hosts keep its head: the start of its first record's hash."""
    return str(records[0]["hash"])[:16] if records else ""


# What goes into a record


def figures(given: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """An operation's figures as a record holds them: numbers, booleans, and texts of one line.

    A list becomes a text, anything else too; what is too long is cut. A figure never keeps an operation from being
    recorded. None is left out.
    """
    return {str(name): _figure(value) for name, value in given.items() if value is not None}


def _figure(value: Any) -> bool | int | float | str:
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _line(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value), FIGURE)


def _line(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def reason(reasons: Mapping[str, str]) -> str:
    """One line of at most TEXT characters out of {host: message}; a message of several hosts stands there once."""
    hosts: dict[str, list[str]] = {}
    for host, text in sorted(reasons.items()):
        hosts.setdefault(" ".join(text.split()), []).append(host)
    return _line("; ".join(f"{', '.join(names)}: {text}" for text, names in hosts.items()), TEXT)


def conceal(value: Any, secrets: Iterable[str]) -> Any:
    """The same value with asterisks for every secret in its texts; what is shorter than 6 characters is a word."""
    if isinstance(value, str):
        parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= 6}
        for part in sorted(parts, key=len, reverse=True):
            value = value.replace(part, "********")
        return value
    if isinstance(value, Mapping):
        return {key: conceal(entry, secrets) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [conceal(entry, secrets) for entry in value]
    return value


def job(environment: Mapping[str, str]) -> str:
    """The pipeline's job that this process belongs to, as its address; empty outside of one.

    GitLab CI, Jenkins, and GitHub's and Gitea's actions set these variables (their pages on predefined variables).
    """
    for name in ("CI_JOB_URL", "BUILD_URL"):
        if environment.get(name):
            return environment[name]
    if environment.get("GITHUB_RUN_ID"):
        parts = (environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
        return "{}/{}/actions/runs/{}".format(*parts)
    return ""


def seconds_since(records: Sequence[Record], operation: str, now: datetime) -> float | None:
    """Seconds since an operation's `started` record; None when there is none."""
    for record in reversed(records):
        if record.get("id") == operation and record.get("outcome") == "started":
            return round((now - datetime.fromisoformat(record["time"])).total_seconds(), 1)
    return None


# The file


def read(path: Path) -> tuple[list[str], str]:
    """The complete lines of the file, and what stands behind the last line end: a record that was cut off, or ''.

    No file is no line. Raises EvidenceError.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        raise EvidenceError(f"{path}: can't be read: {error.strerror}") from error
    *lines, rest = text.split("\n")
    return lines, rest


def readable(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The lines that are records."""
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(parse(line))
    return found


def append(path: Path, make: Callable[[Sequence[Record]], Record]) -> tuple[dict[str, Any], str]:
    """Write one more record. Returns it, and what was wrong with the file's end and is right now ('' when nothing was).

    make: from the records so far to the content of the new one. Writers take turns by a lock on the file, which the
    kernel drops when one dies. What does not fit on the disk is taken back: the file is as it was. A last line that a
    dying writer left without its end moves to `<file>.torn`. Raises EvidenceError.
    """
    repaired = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            path.chmod(0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            lines, rest = read(path)
            if rest and _is_record(rest):
                _extend(file.fileno(), b"\n")
                lines.append(rest)
            elif rest:
                repaired = _quarantine(path, file.fileno())
            if lines and not _is_record(lines[-1]):
                raise EvidenceError(
                    f"{path}: line {len(lines)}, the last one, is no record, so nothing can follow it; put back a "
                    "copy, or put the file aside to begin a new chain"
                )
            records = readable(lines)
            record = seal(make(records), records[-1] if records else None)
            _extend(file.fileno(), f"{json.dumps(record, sort_keys=True, allow_nan=False)}\n".encode())
    except OSError as error:
        raise EvidenceError(f"{path}: can't be written: {error.strerror}; it is as it was") from error
    return record, repaired


def _is_record(line: str) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True


def _quarantine(path: Path, descriptor: int) -> str:
    """Move the bytes behind the last line end to `<file>.torn`, durably, before they leave the file."""
    data = path.read_bytes()
    keep = data.rfind(b"\n") + 1
    torn = path.with_name(f"{path.name}.torn")
    with torn.open("ab") as file:
        file.write(data[keep:] + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.ftruncate(descriptor, keep)
    os.fsync(descriptor)
    return f"its last line was cut off by a writer that died; it is in {torn} now"


def _extend(descriptor: int, data: bytes) -> None:
    """Write data at the end, durably, or leave the file as it was. Raises OSError."""
    size = os.fstat(descriptor).st_size
    try:
        while data:  # a disk that is nearly full takes a part first, and then says why it takes no more
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


# The table


def table(records: Sequence[Record], last: int) -> list[str]:
    """The newest operations as lines of a table, oldest first: one line each, its start and its end put together."""
    order: dict[str, dict[str, Any]] = {}
    for record in records:
        entry = order.setdefault(str(record.get("id")), {"outcome": ""})
        outcome = record.get("outcome")
        entry.update({key: value for key, value in record.items() if key != "time" or "time" not in entry})
        entry["outcome"] = outcome
    shown = list(order.values())[-last:]
    rows = [("time (UTC)", "who", "operation", "service", "outcome", "seconds", "figures")] + [_row(e) for e in shown]
    return aligned(rows)


def _row(entry: Record) -> tuple[str, str, str, str, str, str, str]:
    outcome = "no outcome: killed or still running" if entry["outcome"] == "started" else str(entry["outcome"])
    facts = [f"{name}={value}" for name, value in (entry.get("figures") or {}).items()]
    if entry.get("unreachable"):
        facts.append(f"unreachable={','.join(entry['unreachable'])}")
    if entry.get("reason"):
        facts.append(textwrap.shorten(entry["reason"], SHOWN, placeholder="…"))
    seconds = entry.get("seconds")
    return (
        str(entry.get("time", ""))[:19].replace("T", " "),
        str(entry.get("who", "")),
        str(entry.get("operation", "")),
        str(entry.get("service", "")),
        outcome,
        "" if seconds is None else f"{seconds:g}",
        " ".join(facts),
    )
