# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a service's data in restic repositories: made by a program of the service, encrypted on the host.

This file is two things: what the module `restic` works with, and, laid down on a member by the role of a service, the
program that a timer starts there. So it needs nothing but the standard library, of this collection neither.

A service gives one JSON file (readable by root alone), whose keys are the fields of Settings.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

NOT_MY_TURN = 75  # what a service's program ends with when another member makes the copy (EX_TEMPFAIL)
NO_REPOSITORY = 10  # restic's exit status (https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes)
MANIFEST = "manifest.json"


class BackupError(Exception):
    """A copy could not be made, found or read; the text says which, where and why."""


@dataclass(frozen=True)
class Settings:
    """What a service declares: its name and its cluster's, produce (the program that writes a copy into the directory
    which is its last argument, prints its figures as JSON, and may end with NOT_MY_TURN) with its environment, the
    repositories' URLs by name, the files with passphrase and SSH settings, how many copies are kept, and the seconds
    between two copies."""

    service: str
    cluster: str
    produce: Sequence[str]
    repositories: Mapping[str, str]
    password_file: str
    ssh_config: str
    every: int
    keep: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    state: str = "/var/lib/holdfast/backup"

    @property
    def home(self) -> Path:
        """Where the service's newest copy and the outcome of the last round are."""
        return Path(self.state, self.service)


@dataclass(frozen=True)
class Copy:
    """One copy: where, restic's id of it, and the time it was made, in seconds since 1970."""

    repository: str
    id: str
    time: float

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Copy:
        """A copy as the module `restic` returned it."""
        return cls(chosen["repository"], chosen["id"], float(chosen["time"]))

    def __str__(self) -> str:
        return f"{self.id[:8]} of {spell(self.time)} in {self.repository}"


def spell(seconds: float) -> str:
    """A time for people and for metrics alike: ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def when(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; without an offset it is UTC. Raises BackupError."""
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text.strip()).replace("Z", "+00:00")  # restic counts nanoseconds
    try:
        found = datetime.fromisoformat(cut)
    except ValueError:
        raise BackupError(f"{text!r} is no time; give one such as 2026-11-21T10:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def choose(copies: Sequence[Copy], wanted: str = "") -> Copy:
    """The copy that wanted asks for: empty the newest, a time the newest before it, else the id of one.

    Raises BackupError when there is none.
    """
    ordered = sorted(copies, key=lambda copy: copy.time)
    if not ordered:
        raise BackupError("there is no copy in any repository that answers")
    if not wanted:
        return ordered[-1]
    named = [copy for copy in ordered if re.fullmatch(r"[0-9a-f]{8,64}", wanted) and copy.id.startswith(wanted)]
    if named:
        return named[-1]
    if re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        raise BackupError(f"no repository that answers has a copy {wanted}; the newest is {ordered[-1]}")
    before = [copy for copy in ordered if copy.time <= when(wanted)]
    if not before:
        raise BackupError(f"no copy is older than {wanted}; the oldest is {ordered[0]}")
    return before[-1]


def judge(
    settings: Settings, copies: Mapping[str, Sequence[Copy] | str], *, since: float, now: float, grace: float = 1.5
) -> list[str]:
    """What is wrong with the copies of a service, in words.

    copies holds those of each repository, or why it can't be read. since is the time when backups were configured: the
    first copy may take as long as any other.
    """
    problems = []
    for name in settings.repositories:
        found = copies.get(name, "it was not asked")
        if isinstance(found, str):
            problems.append(f"repository {name}: {found}")
            continue
        newest = max((copy.time for copy in found), default=0.0)
        if now - max(newest, since) > grace * settings.every:
            age = f"the newest copy is {(now - newest) / 3600:.1f} h old" if newest else "there is no copy"
            problems.append(f"repository {name}: {age}, and every {settings.every / 3600:g} h one is due")
    return problems


def metrics(settings: Settings, outcome: Mapping[str, Mapping[str, Any]], size: int) -> str:
    """The outcome of a round in the text format of Prometheus."""
    lines = []
    for name, result in sorted(outcome.items()):
        labels = f'{{service="{settings.service}",repository="{name}"}}'
        lines.append(f"holdfast_backup_success{labels} {int(not result['error'])}")
        lines.append(f"holdfast_backup_time_seconds{labels} {result['time']:.0f}")
        lines.append(f"holdfast_backup_duration_seconds{labels} {result['seconds']}")
    lines.append(f'holdfast_backup_bytes{{service="{settings.service}"}} {size}')
    return "\n".join(lines) + "\n"


def load(path: str) -> Settings:
    """Read the settings of a service. Raises BackupError."""
    try:
        return Settings(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{path}: {error}") from error


def restic(
    settings: Settings, repository: str, *arguments: str, timeout: float = 1800
) -> subprocess.CompletedProcess[str]:
    """Run restic on one repository. Passphrase and key are in files, never on a command line."""
    argv = [
        "restic", "--repo", settings.repositories[repository], "--password-file", settings.password_file,
        "--option", f"sftp.args=-F {settings.ssh_config}", "--cache-dir", "/var/cache/holdfast/restic",
        "--retry-lock", "1m", "--json", *arguments,
    ]  # fmt: skip
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise BackupError("restic is not installed on this host") from None
    except subprocess.TimeoutExpired:
        raise BackupError(f"repository {repository}: restic {arguments[0]} has no end after {timeout:g} s") from None


def _insist(done: subprocess.CompletedProcess[str], what: str) -> str:
    if done.returncode:
        said = done.stderr.strip()
        with suppress(ValueError, IndexError, AttributeError):  # restic's last word is JSON, too
            said = json.loads(said.splitlines()[-1]).get("message", said)
        raise BackupError(f"{what} failed with status {done.returncode}: {' '.join(said.split())[-500:]}")
    return done.stdout


def copies(settings: Settings, repository: str) -> list[Copy]:
    """The copies of the service in one repository. Raises BackupError when it can't be read."""
    selected = ("--host", settings.cluster, "--tag", settings.service)
    done = restic(settings, repository, "--no-lock", "snapshots", *selected, timeout=60)
    if done.returncode == NO_REPOSITORY:
        return []
    found = json.loads(_insist(done, "listing the copies") or "[]")
    return [Copy(repository, entry["id"], when(entry["time"])) for entry in found]


def all_copies(settings: Settings) -> dict[str, list[Copy] | str]:
    """The copies in each repository, or the reason why it can't be read."""
    found: dict[str, list[Copy] | str] = {}
    for name in settings.repositories:
        try:
            found[name] = copies(settings, name)
        except BackupError as error:
            found[name] = str(error)
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    counter = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            counter.update(block)
    return counter.hexdigest()


def produce(settings: Settings) -> dict[str, Any] | None:
    """Let the service write its copy; the manifest that lies beside it. None when another member makes it."""
    place = settings.home / "copy"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    done = subprocess.run(
        [*settings.produce, str(place)],
        env={**os.environ, **settings.environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == NOT_MY_TURN:
        return None
    if done.returncode:
        raise BackupError(f"{settings.produce[0]} ended with status {done.returncode}: {done.stderr.strip()[-1000:]}")
    files = sorted(path for path in place.rglob("*") if path.is_file())
    manifest = {
        "service": settings.service,
        "cluster": settings.cluster,
        "host": os.uname().nodename,
        "time": spell(time.time()),
        "files": {
            str(path.relative_to(place)): {"bytes": path.stat().st_size, "sha256": digest(path)} for path in files
        },
        "figures": json.loads(done.stdout or "{}"),
    }
    (place / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def put(settings: Settings, repository: str) -> str:
    """Copy what was produced into one repository, and remove what is not kept any more; the id of the copy."""
    if restic(settings, repository, "cat", "config", timeout=60).returncode == NO_REPOSITORY:
        _insist(restic(settings, repository, "init"), "making the repository")
    restic(settings, repository, "unlock", timeout=60)  # only locks whose owner is gone
    place = str(settings.home / "copy")
    named = ("--host", settings.cluster, "--tag", settings.service)
    said = _insist(restic(settings, repository, "backup", *named, place), "the copy")
    summary = json.loads(said.strip().splitlines()[-1])
    kept = [word for period, count in settings.keep.items() for word in (f"--keep-{period}", str(count))]
    forget = restic(settings, repository, "forget", *named, "--group-by", "host,tags", "--prune", *kept)
    _insist(forget, f"copy {summary['snapshot_id'][:8]} was made, but removing old ones")
    return str(summary["snapshot_id"])


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Let no second backup of the service run on this host at the same time."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.home / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"another backup of {settings.service} is running on this host") from None
        yield


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def backup(settings: Settings) -> dict[str, Any] | None:
    """One round: produce a copy and put it into every repository. One that fails keeps no other one from its copy.

    Returns what was done: `manifest`, and for each of `repositories` its `id`, `time`, `seconds` and `error`. None when
    another member does it. Raises BackupError when there is no copy at all.
    """
    with alone(settings):
        manifest = produce(settings)
        if manifest is None:
            return None
        outcome: dict[str, dict[str, Any]] = {}
        for name in settings.repositories:
            begin = time.time()
            result: dict[str, Any] = {"id": "", "time": begin, "error": ""}
            try:
                result["id"] = put(settings, name)
            except (BackupError, ValueError, KeyError) as error:
                result["error"] = str(error)
            outcome[name] = {**result, "seconds": round(time.time() - begin, 1)}
        size = sum(file["bytes"] for file in manifest["files"].values())
        done = {"manifest": manifest, "repositories": outcome, "bytes": size}
        _replace(settings.home / "last.json", json.dumps(done, indent=1) + "\n")
        _replace(Path(settings.state, "metrics", f"{settings.service}.prom"), metrics(settings, outcome, size))
        return done


def complaints(done: Mapping[str, Any]) -> list[str]:
    """What went wrong in a round, a line for each repository."""
    return [f"repository {name}: {result['error']}" for name, result in done["repositories"].items() if result["error"]]


def described(settings: Settings, copy: Copy) -> dict[str, Any]:
    """The manifest of a copy, without the copy. Raises BackupError."""
    file = str(settings.home / "copy" / MANIFEST)
    said = _insist(restic(settings, copy.repository, "--no-lock", "dump", copy.id, file), f"reading copy {copy}")
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError as error:
        raise BackupError(f"copy {copy}: {MANIFEST} can't be read: {error}") from error
    return found


def fetch(settings: Settings, copy: Copy, place: Path, only: str = "") -> dict[str, Any]:
    """Bring a copy to place, whole or not at all, and compare it with its manifest, which is returned.

    only: the file that is wanted of it, instead of all. Raises BackupError for a copy that can't be read or is not what
    its manifest says.
    """
    if not (place / MANIFEST).is_file():
        unfinished = place.with_name(f"{place.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        source = f"{copy.id}:{settings.home / 'copy'}"
        wanted = [word for name in (only, MANIFEST) for word in ("--include", f"/{name}")] if only else []
        target = ("--target", str(unfinished), "--verify", *wanted)
        _insist(restic(settings, copy.repository, "--no-lock", "restore", source, *target), f"reading copy {copy}")
        shutil.rmtree(place, ignore_errors=True)
        unfinished.rename(place)
    manifest: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    for name, file in manifest["files"].items():
        if only not in ("", name):
            continue
        if not (place / name).is_file() or digest(place / name) != file["sha256"]:
            raise BackupError(f"copy {copy}: {name} is not what its manifest says: it is damaged")
    return manifest


def main() -> int:
    """The program that the timer starts: one round. Its exit status is not 0 when a repository has no new copy."""
    try:
        done = backup(load(sys.argv[1]))
    except BackupError as error:
        print(f"no backup: {error}", file=sys.stderr)
        return 1
    if done is None:
        print("another member makes the copy")
        return 0
    for name, result in done["repositories"].items():
        print(f"{name}: {result['error'] or 'copy ' + result['id'][:8]} ({result['seconds']} s)")
    return 1 if complaints(done) else 0


if __name__ == "__main__":
    sys.exit(main())
