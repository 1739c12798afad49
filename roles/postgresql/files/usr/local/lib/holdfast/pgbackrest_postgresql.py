#!/usr/bin/python3
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of this member's cluster with pgBackRest, when the member is the leader. Runs as postgres.

`archive FILE` is PostgreSQL's archive_command, `now` makes a full copy in every store, `due` in those whose newest is
too old, `report` prints as JSON what is there. Each store has a configuration of its own beside the one that names all
of them: one store's trouble is then never another one's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/holdfast/postgresql/backup.json")
STATE = Path("/var/lib/holdfast/postgresql-backup")
ALL = "/etc/pgbackrest/pgbackrest.conf"
ONE = "/etc/pgbackrest/stores/{}.conf"
DAY = 86400
SEGMENT = re.compile(r"[0-9A-F]{24}")
# Seconds after which a store that was left out is asked again.
AGAIN = 600
# Segments of the timeline before that a new leader offers to the stores.
OFFERED = 64


class Failed(Exception):
    """A program did not do its work; the text is what it said."""


# Decisions


def thin(backups: Sequence[Mapping[str, Any]], now: float, days: int) -> tuple[list[str], int]:
    """Which full copies to give up, oldest first, and for how many of the newest all WAL is kept.

    backups: as `pgbackrest info` prints them, oldest first; days: the span within which every moment can be restored.
    Everything within the span stays, and the newest copy before it, where that restore begins. Of what is older the
    first one of each week (ISO 8601) stays; pgBackRest itself gives those up after their own time.
    """
    fulls = [backup for backup in backups if backup["type"] == "full"]
    recent = [backup for backup in fulls if backup["timestamp"]["stop"] >= now - days * DAY]
    older = fulls[: len(fulls) - len(recent)]
    weeks: set[tuple[int, int]] = set()
    surplus = []
    for backup in older[:-1]:
        year, week, _ = datetime.fromtimestamp(backup["timestamp"]["stop"], timezone.utc).isocalendar()
        if (year, week) in weeks:
            surplus.append(backup["label"])
        weeks.add((year, week))
    return surplus, max(1, len(recent) + bool(older))


def due(backups: Sequence[Mapping[str, Any]], now: float, every: int, *, missed: bool) -> bool:
    """Whether a store needs a full copy: there is none, it is as old as the schedule (seconds) allows, or WAL is
    missing after it. A timer that comes a little early counts."""
    fulls = [backup["timestamp"]["stop"] for backup in backups if backup["type"] == "full"]
    return missed or not fulls or now - max(fulls) >= every - 600


def left_out(missed: Mapping[str, Mapping[str, Any]], now: float) -> set[str]:
    """The stores that are not to be asked yet: they failed a short while ago, and the others went on without them."""
    return {store for store, entry in missed.items() if now - entry["tried"] < AGAIN}


def switched(history: str) -> tuple[int, int]:
    """The timeline before, and the number of the segment in which it ended, from a timeline's history file.

    The last line of it is `<parent timeline> <switchpoint> <reason>` (PostgreSQL, access/transam/timeline.c).
    Raises ValueError for a file without lines. Segments have 16 MB.
    """
    lines = [line.split() for line in history.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ValueError("the history has no line")
    high, low = lines[-1][1].split("/")
    return int(lines[-1][0]), ((int(high, 16) << 32) + int(low, 16)) >> 24


def number(segment: str) -> int:
    """The number of a segment on its timeline, from its file name."""
    return (int(segment[8:16], 16) << 8) + int(segment[16:24], 16)


def unarchived(names: Sequence[str], timeline: int, end: int) -> list[str]:
    """Of the files in pg_wal, the complete segments of a timeline that ended in segment `end`, in order."""
    whole = [name for name in names if SEGMENT.fullmatch(name) and int(name[:8], 16) == timeline]
    return sorted(name for name in whole if number(name) < end)[-OFFERED:]


# Programs and files


def pgbackrest(config: str, stanza: str, *arguments: str, timeout: float | None = None) -> str:
    """Run pgBackRest with a configuration file. Raises Failed with the last of what it said."""
    argv = ["pgbackrest", f"--config={config}", f"--stanza={stanza}", *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {timeout:g} s") from error
    if done.returncode:
        said = re.sub(r"(?m)^\S+ \S+ +P\d+ +", "", (done.stdout + done.stderr)).strip()
        raise Failed(" ".join((said or f"exit status {done.returncode}").split())[-600:])
    return done.stdout


def ask(given: Mapping[str, Any], sql: str) -> str:
    """One value from the server here. Raises Failed."""
    argv = ["psql", "-XAtq", "-h", given["socket"], "-p", str(given["port"]), "-d", "postgres", "-c", sql]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise Failed(done.stderr.strip())
    return done.stdout.strip()


def leads(given: Mapping[str, Any]) -> bool:
    """Whether the server here is the leader. A server that is down is none."""
    try:
        return ask(given, "SELECT pg_is_in_recovery()") == "f"
    except (Failed, subprocess.TimeoutExpired):
        return False


def read(name: str) -> dict[str, Any]:
    """A file of the state; empty when there is none."""
    try:
        held = json.loads((STATE / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def write(name: str, text: str) -> None:
    """Replace a file of the state, whole or not at all."""
    temporary = STATE / f".{name}.{os.getpid()}"
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(STATE / name)


@contextlib.contextmanager
def missed_wal() -> Iterator[dict[str, Any]]:
    """Hold the record of stores that miss WAL alone, change it, and have it written at the end."""
    with (STATE / "missed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = read("missed.json")
        before = json.dumps(held)
        yield held
        if json.dumps(held) != before:
            write("missed.json", json.dumps(held, indent=1) + "\n")


# Archiving


def waiting(directory: Path) -> list[Path]:
    """The marks of WAL files that wait to be archived. directory: pg_wal."""
    return list((directory / "archive_status").glob("*.ready"))


def archive(given: Mapping[str, Any], path: str) -> int:
    """Push a file to every store. 0 tells PostgreSQL that it may give it up.

    A store that fails holds up the file while few are waiting; pgBackRest has pushed it to the others by then. When
    more wait than `hold` allows, the others go on without that store, and what it misses is remembered. When none takes
    it, files wait up to `limit`: a server that writes comes before an archive that is whole.
    """
    file = Path(given["data"], path)
    stanza, now = given["stanza"], time.time()
    if file.suffix == ".history":
        offer(given, file)
    out = left_out(read("missed.json"), now)
    trouble = "left out"
    if not out:
        try:
            pgbackrest(ALL, stanza, "archive-push", str(file))
        except Failed as error:
            trouble = str(error)
        else:
            with missed_wal() as missed:
                for entry in missed.values():
                    entry.setdefault("until", now)
            return 0
        if not read("missed.json") and len(waiting(file.parent)) << 24 < given["hold"]:
            print(f"{file.name}: {trouble}", file=sys.stderr)
            return 1
    return archive_apart(given, file, out, now)


def archive_apart(given: Mapping[str, Any], file: Path, out: set[str], now: float) -> int:
    """Push a file to each store by itself, but for those that are left out."""
    failed = dict.fromkeys(out, "left out")
    for store in given["stores"]:
        if store not in out:
            try:
                pgbackrest(ONE.format(store), given["stanza"], "--no-archive-async", "archive-push", str(file))
            except Failed as error:
                failed[store] = str(error)
                print(f"{file.name}: {store}: {error}", file=sys.stderr)
    if len(failed) == len(given["stores"]) and len(waiting(file.parent)) << 24 < given["limit"]:
        with missed_wal() as missed:
            for entry in missed.values():
                entry["tried"] = 0
        return 1
    with missed_wal() as missed:
        for store, reason in failed.items():
            entry = missed.setdefault(store, {"since": now, "file": file.name})
            entry.pop("until", None)
            if store not in out:
                entry.update(tried=now, error=reason)
        for store in missed.keys() - failed.keys():
            missed[store].setdefault("until", now)
    return 0


def offer(given: Mapping[str, Any], history: Path) -> None:
    """Push what the leader before may have left unarchived when it died; it streamed all of it to here.

    A segment that a store has already is compared and left alone.
    """
    try:
        timeline, end = switched(history.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{history.name}: {error}", file=sys.stderr)
        return
    for name in unarchived([file.name for file in history.parent.iterdir()], timeline, end):
        for store in given["stores"]:
            try:
                push = ("--no-archive-async", "archive-push", str(history.parent / name))
                pgbackrest(ONE.format(store), given["stanza"], *push)
            except Failed as error:
                print(f"{name}: {store}: {error}", file=sys.stderr)


# Backups


def info(given: Mapping[str, Any], store: str) -> dict[str, Any]:
    """What a store holds of the stanza, as `pgbackrest info` prints it. Raises Failed when it can't be told."""
    answer = json.loads(pgbackrest(ONE.format(store), given["stanza"], "info", "--output=json", timeout=60))
    stanza: dict[str, Any] = answer[0] if answer else {"backup": [], "archive": []}
    for repository in stanza.get("repo", ()):
        if repository["status"]["code"] not in (0, 1, 2, 3):  # 1 and 3 no stanza yet, 2 no backup yet
            raise Failed(repository["status"]["message"])
    return {"backup": [], "archive": [], **stanza}


def make_stanza(given: Mapping[str, Any], store: str) -> None:
    """Prepare a store that is new. It needs the lock that archiving holds too, so more than one attempt."""
    for attempt in range(10):
        if info(given, store)["archive"]:
            return
        try:
            pgbackrest(ONE.format(store), given["stanza"], "stanza-create", timeout=120)
        except Failed:
            if attempt == 9:
                raise
            time.sleep(3)


def back_up(given: Mapping[str, Any], store: str) -> dict[str, Any]:
    """Make a full copy in one store and give up what is too old. Returns its figures; raises Failed."""
    config, stanza, begin = ONE.format(store), given["stanza"], time.time()
    make_stanza(given, store)
    with missed_wal() as missed:  # its WAL has to come here again, or the copy would never be whole
        if store in missed:
            missed[store]["tried"] = 0
    pgbackrest(config, stanza, "backup", "--type=full", f"--annotation=member={os.uname().nodename}")
    with missed_wal() as missed:  # pgBackRest has made sure that the WAL of this copy is there
        missed.pop(store, None)
    held = info(given, store)["backup"]
    surplus, whole = thin(held, time.time(), given["days"])
    for label in surplus:
        pgbackrest(config, stanza, "expire", f"--set={label}")
    pgbackrest(config, stanza, "expire", f"--repo1-retention-archive={whole}")
    newest = held[-1]
    return {
        "label": newest["label"],
        "start": newest["timestamp"]["start"],
        "stop": newest["timestamp"]["stop"],
        "seconds": round(time.time() - begin, 1),
        "bytes": newest["info"]["size"],
        "stored_bytes": newest["info"]["repository"]["delta"],
    }


def run(given: Mapping[str, Any], *, only_due: bool) -> int:
    """Back up to each store, one after the other. Fails when none took it; `report` tells of each."""
    with (STATE / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not leads(given):
            print("not the leader: nothing to do")
            write("run.json", json.dumps({"leader": False, "finished": time.time()}) + "\n")
            return 0
        stores: dict[str, Any] = {}
        for store in given["stores"]:
            try:
                missed = store in read("missed.json")
                if only_due and not due(info(given, store)["backup"], time.time(), given["every"], missed=missed):
                    continue
                stores[store] = back_up(given, store)
                print("{}: {label}, {bytes} bytes, {seconds} s".format(store, **stores[store]))
            except (Failed, subprocess.TimeoutExpired) as error:
                stores[store] = {"error": str(error)}
                print(f"{store}: {error}", file=sys.stderr)
        if not stores:
            print("every store has a copy that is new enough")
            return 0
        done = {"leader": True, "finished": time.time(), "stores": stores}
        write("run.json", json.dumps(done, indent=1) + "\n")
        write("backup.prom", metrics(given["stanza"], stores))
    return int(all("error" in entry for entry in stores.values()))


def metrics(stanza: str, stores: Mapping[str, Mapping[str, Any]]) -> str:
    """The last run as a file for a metrics collector, in the text format of Prometheus."""
    figures: list[tuple[str, str, Callable[[Mapping[str, Any]], Any]]] = [
        ("success", "Whether the newest attempt worked", lambda entry: int("error" not in entry)),
        ("finished_timestamp_seconds", "When the newest copy was finished", lambda entry: entry.get("stop")),
        ("duration_seconds", "How long it took", lambda entry: entry.get("seconds")),
        ("size_bytes", "Size of the database in it", lambda entry: entry.get("bytes")),
        ("stored_bytes", "Size of it in the store", lambda entry: entry.get("stored_bytes")),
    ]
    lines = []
    for name, text, value in figures:
        lines += [f"# HELP holdfast_backup_{name} {text}.", f"# TYPE holdfast_backup_{name} gauge"]
        lines += [
            f'holdfast_backup_{name}{{service="postgresql",stanza="{stanza}",store="{store}"}} {value(entry)}'
            for store, entry in stores.items()
            if value(entry) is not None
        ]
    return "\n".join(lines) + "\n"


def report(given: Mapping[str, Any]) -> dict[str, Any]:
    """What there is, for a judgement: whether this member leads, and if so each store's copies and the archiver."""
    if not leads(given):
        return {"leader": False}
    stores: dict[str, Any] = {}
    for store in given["stores"]:
        try:
            held = info(given, store)
            stores[store] = {"backups": held["backup"], "archive": held["archive"]}
        except (Failed, subprocess.TimeoutExpired) as error:
            stores[store] = {"error": str(error)}
    marks = waiting(Path(given["data"], "pg_wal"))
    ages = [time.time() - mark.stat().st_mtime for mark in marks if mark.exists()]
    return {
        "leader": True,
        "now": time.time(),
        "stores": stores,
        "missed": read("missed.json"),
        "waiting": len(marks),
        "waiting_seconds": max(ages, default=0),
        "last": read("run.json"),
    }


def main() -> int:
    given = json.loads(CONFIG.read_text(encoding="utf-8"))
    os.umask(0o027)
    if sys.argv[1] == "archive":
        return archive(given, sys.argv[2])
    if sys.argv[1] in ("due", "now"):
        return run(given, only_due=sys.argv[1] == "due")
    print(json.dumps(report(given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
