# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server and its Sentinel have to be told: settings that need no restart, and how a Sentinel watches.

The users are in `_redis_users`. A server is told with CONFIG SET; a Sentinel with SENTINEL SET, each one by itself,
since they don't pass it on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as seed
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error, Word, pairs, split
from ansible_collections.holdfast.platform.plugins.module_utils._redis_member import Watch
from ansible_collections.holdfast.platform.plugins.module_utils._redis_users import Plan
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: As redis.conf explains its units.
UNITS = {"k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
SECRET = ("masterauth", "tls-key-file-pass", "auth-pass", "sentinel-pass")


def plain(value: Any) -> str:
    """A setting as CONFIG GET tells it: sizes in bytes, truths as yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    match = re.fullmatch(r"(\d+)([kmg]b?)", text.lower())
    return str(int(match[1]) * UNITS[match[2]]) if match else text


def settings(wanted: Mapping[str, Any], live: Mapping[str, str]) -> Plan:
    """What CONFIG SET has to be told. live: what CONFIG GET said. Raises Failed for a setting that there is not."""
    unknown = sorted(set(wanted) - set(live))
    if unknown:
        raise Failed(f"redis_settings: this Redis has no setting {', '.join(unknown)}")
    changed = {key: plain(value) for key, value in wanted.items() if plain(value) != live[key]}
    if not changed:
        return Plan()
    words = [
        f"{key} is new" if key in SECRET else f"{key}: {live[key]!r} -> {value!r}" for key, value in changed.items()
    ]
    return Plan([("CONFIG", "SET", *(word for pair in changed.items() for word in pair))], words)


def watching(watch: Watch, told: Mapping[str, str] | None, file: Mapping[str, str], primary: str) -> Plan:
    """What a Sentinel has to be told. told: its SENTINEL MASTER, None when it does not watch the cluster at all.

    file: what its own file says of users and passwords. primary: the live one's address. Raises Failed when it should
    begin to watch, and nobody leads.
    """
    commands: list[Sequence[Word]] = []
    words: list[str] = []
    if told is None:
        if not primary:
            raise Failed(f"the Sentinel of {watch.name} watches nobody, and there is no primary it could watch")
        host, port = split(primary)
        commands.append(("SENTINEL", "MONITOR", watch.cluster, host, port, watch.quorum))
        words.append(f"it watches {watch.cluster}")
    now = {**file, **(told or {})}
    for key, value in watch.settings.items():
        if now.get(key) != value:
            commands.append(("SENTINEL", "SET", watch.cluster, key, value))
            words.append(f"{key} is new" if key in SECRET else f"{key}: {now.get(key)!r} -> {value!r}")
    for key, value in watch.own.items():
        if now.get(key) != value:
            commands.append(("SENTINEL", "CONFIG", "SET", key, value))
            words.append(f"{key} is new" if key in SECRET else f"{key}: {now.get(key)!r} -> {value!r}")
    return Plan(commands, words)


def look_settings(client: Client, wanted: Mapping[str, Any]) -> Plan:
    """Ask a running server."""
    return settings(wanted, pairs(client.call("CONFIG", "GET", "*")))


def look_watching(client: Client, watch: Watch, file: Path, reading: cluster.Reading) -> Plan:
    """Ask a running Sentinel, and its file."""
    told = client.pipeline([("SENTINEL", "MASTER", watch.cluster)])[0]
    try:
        kept = seed.kept(file.read_text(encoding="utf-8"), watch)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}; it is the Sentinel's own, and it has to run to write it") from error
    return watching(watch, None if isinstance(told, Error) else pairs(told), kept, cluster.primary(reading))


def carry_out(client: Client, plan: Plan) -> None:
    """Send the commands. Raises Failed with what was not taken."""
    replies = client.pipeline(plan.commands) if plan.commands else []
    wrong = [reply.text for reply in replies if isinstance(reply, Error)]
    if wrong:
        raise Failed(f"redis {client.server} did not take what it was told: {'; '.join(wrong)}")


def unsettled(reading: cluster.Reading, name: str) -> str:
    """Why a member is not in service yet, or its Sentinel does not know all others; empty when all is well."""
    try:
        leader = cluster.primary(reading)
    except Failed as error:
        return str(error)
    if not leader:
        return "there is no primary"
    reason = cluster.unfit(reading, reading.members[name], leader)
    if reason:
        return reason
    sentinel = reading.sentinels[name]
    return f"the Sentinel of {name}: {sentinel.error}" if sentinel.error else ""
