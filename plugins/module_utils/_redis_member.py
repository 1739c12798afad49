# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes a member of a Redis cluster: what it is, and the files that Redis and its Sentinel begin with.

Both programs rewrite their own file, so each is written once. What a run decides stands in files of the bundle, which
are read after it and so have the last word.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Refused, split
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

MEMBER = "member"  # has data, and is what they say
JOINABLE = "joinable"  # has no data, and a live primary is there
UNFORMED = "unformed"  # has no data, and no member answers

_TEXT: dict[str, Any] = {"type": "str", "required": True}
_PATH: dict[str, Any] = {"type": "path", "required": True}
_WORDS: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
#: Options of every module that keeps a member; the fragment `redis.member` documents them.
OPTIONS: dict[str, Any] = {
    **cluster.OPTIONS,
    "name": _TEXT,
    "here": {"type": "dict", "required": True, "options": {"server": _TEXT, "sentinel": _TEXT}},
    "directories": {"type": "dict", "required": True, "options": {"server": _PATH, "sentinel": _PATH}},
    "users": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": _TEXT,
            "passwords": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "commands": _WORDS,
            "keys": {**_WORDS, "no_log": False},
            "channels": _WORDS,
            "discovery": _WORDS,
        },
    },
    "watch": {
        "type": "dict",
        "required": True,
        "options": {
            "quorum": {"type": "int", "required": True},
            "down_after": {"type": "int", "required": True},
            "failover_timeout": {"type": "int", "required": True},
            "user": _TEXT,
            "password": {**_TEXT, "no_log": True},
        },
    },
}

SERVER, SENTINEL, USERS = "server.conf", "sentinel.conf", "users.acl"
#: The first start has been allowed and has not succeeded yet. Without it a server without data does not start.
FIRST_START = "first-start"


def standing(reading: Reading, name: str, *, has_data: bool) -> str:
    """Where the host stands: MEMBER, JOINABLE or UNFORMED. Raises Failed when it has to wait for others."""
    if has_data:
        return MEMBER
    if cluster.primary(reading):
        return JOINABLE
    living = [other.name for other in reading.members.values() if not other.error and other.name != name]
    if living:
        told = reading.named(cluster.claimed(reading)) or "nobody"
        raise Failed(
            f"{name} is empty, {', '.join(living)} answers, and there is no primary to follow (the Sentinels say: "
            f"{told}). Wait until one of them leads, then run again"
        )
    return UNFORMED


def candidate(reading: Reading, watched: str = "") -> str:
    """Who leads a cluster whose members begin anew: the one that a Sentinel names already, or the first.

    watched: whom this host's Sentinel watches by its file, for when none of them runs.
    """
    told = cluster.claimed(reading) or watched
    addresses = [member.address for _, member in sorted(reading.members.items())]
    return told if told in addresses else addresses[0]


def watched(file: Path, name: str) -> str:
    """The address of the primary by a Sentinel's file; empty when there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(rf"^sentinel monitor {re.escape(name)} (\S+) (\d+) ", text, re.MULTILINE)
    return cluster.join(found[1], found[2]) if found else ""


def has_data(data: Path) -> bool:
    """Whether the server has ever written there."""
    return any((data / name).exists() for name in ("appendonlydir", "dump.rdb"))


@dataclass(frozen=True)
class Watch:
    """How a Sentinel watches: the cluster's name, this member's name, how many have to agree, times in milliseconds,
    and the users with which it enters the servers and the other Sentinels."""

    cluster: str
    name: str
    quorum: int
    down_after: int
    failover_timeout: int
    user: str
    password: str = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """What SENTINEL SET takes."""
        return {
            "quorum": str(self.quorum),
            "down-after-milliseconds": str(self.down_after),
            "failover-timeout": str(self.failover_timeout),
            "parallel-syncs": "1",
            "auth-user": self.user,
            "auth-pass": self.password,
        }

    @property
    def own(self) -> dict[str, str]:
        """What SENTINEL CONFIG SET takes."""
        return {"sentinel-user": self.user, "sentinel-pass": self.password}

    @property
    def identity(self) -> str:
        """The same for ever: a Sentinel that lost its file comes back as who it was, and is not counted twice."""
        return hashlib.sha1(f"{self.cluster} {self.name}".encode()).hexdigest()  # noqa: S324 - a name, not a proof


def watch(given: Mapping[str, Any]) -> Watch:
    """How the options of a module say that this host's Sentinel watches."""
    return Watch(given["cluster"], given["name"], **given["watch"])


def server_file(primary: str, own: str) -> str:
    """What a server begins with. primary, own: addresses."""
    text = "# Redis writes this file itself. What a run of the site decides is in /etc/redis, and is read after it.\n"
    host, port = split(primary)
    return text if primary == own else f"{text}replicaof {host} {port}\n"


def sentinel_file(watch: Watch, primary: str) -> str:
    """What a Sentinel begins with."""
    host, port = split(primary)
    lines = [
        "# The Sentinel writes this file itself. What a run of the site decides is set through its interface.",
        f"sentinel myid {watch.identity}",
        f"sentinel monitor {watch.cluster} {host} {port} {watch.quorum}",
        *(f"sentinel {key} {watch.cluster} {value}" for key, value in watch.settings.items() if key != "quorum"),
        *(f"sentinel {key} {value}" for key, value in watch.own.items()),
    ]
    return "\n".join(lines) + "\n"


def kept(text: str, watch: Watch) -> dict[str, str]:
    """The settings that a Sentinel's own file has, of those that it does not tell: its users and passwords."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = shlex.split(line, comments=True) if line.startswith("sentinel ") else []
        if len(words) == 4 and words[2] == watch.cluster:
            found[words[1]] = words[3]
        elif len(words) == 3:
            found[words[1]] = words[2]
    return {key: found.get(key, "") for key in ("auth-user", "auth-pass", "sentinel-user", "sentinel-pass")}


def answers(access: Access, address: str, *, runs: bool) -> str:
    """Whether a program of this host is `down`, or lets us in: `no` when it knows none of the passwords, else `yes`.

    One that runs and does not answer is busy: its files are its own.
    """
    if not runs:
        return "down"
    try:
        with access.client(address) as client:
            client.call("PING")
    except Refused:
        return "no"
    except Failed:
        return "yes"
    return "yes"


def put(path: Path, text: str, owner: str) -> None:
    """Write a file that its owner alone can read, as a whole. Raises Failed."""
    draft = path.with_name(f".{path.name}.new")
    try:
        account = pwd.getpwnam(owner)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, KeyError) as error:
        raise Failed(f"{path}: can't be written: {error}") from error


def seeds(
    where: str,
    reading: Reading,
    *,
    own: str,
    watch: Watch,
    server: Path,
    sentinel: Path,
    texts: Mapping[str, str],
    states: Mapping[str, str],
    primary: str = "",
) -> dict[Path, str]:
    """The files that are to be written, with their content.

    where: this host's standing. own: its address. texts, states: of `server` and `sentinel`, the text of the file of
    users, and what `answers` said. primary: who leads a cluster that is formed now. Raises Failed when a Sentinel would
    have to guess.
    """
    found: dict[Path, str] = {}
    if where == UNFORMED and not primary:
        return found
    leader = primary or cluster.primary(reading)
    if where != MEMBER or not (server / SERVER).exists():
        found[server / SERVER] = server_file(leader or own, own)
        found[server / FIRST_START] = ""
    elif states["server"] == "down" and leader not in ("", own):
        found[server / SERVER] = server_file(leader, own)  # it may have led, or followed, another one when it stopped
    if not (sentinel / SENTINEL).exists():
        if not leader:
            raise Failed(f"{watch.name}: its Sentinel has lost its file, and there is no primary to watch; run again")
        found[sentinel / SENTINEL] = sentinel_file(watch, leader)
    for part, place in (("server", server), ("sentinel", sentinel)):
        # Only a program that does not run, or lets nobody in, gets this file: it writes it itself.
        if states[part] != "yes" or not (place / USERS).exists():
            found[place / USERS] = texts[part]
    return found


def shard_seeds(server: Path, *, has_data: bool, own: str, text: str, state: str) -> dict[Path, str]:
    """The files that are to be written for a member of shards: it starts alone, and whom it follows it is told then.

    text: of the file of users. state: what `answers` said.
    """
    found: dict[Path, str] = {}
    if not has_data or not (server / SERVER).exists():
        found[server / SERVER] = server_file(own, own)
        found[server / FIRST_START] = ""
    if state != "yes" or not (server / USERS).exists():
        found[server / USERS] = text
    return found


def write(files: Mapping[Path, str], owner: str) -> None:
    """Write them, the server's own file last: without it the server does not start. Raises Failed."""
    for path, text in sorted(files.items(), key=lambda item: item[0].name == SERVER):
        put(path, text, owner)


def names(files: Sequence[Path]) -> list[str]:
    """Paths for people."""
    return sorted(str(path) for path in files)
