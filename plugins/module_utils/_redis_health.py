# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a Redis cluster as it should be? `judge` decides from one reading, `probe` writes and reads as a client would."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Seconds after which what a check has written is gone.
LIFE = 60
#: Milliseconds in which replicas have to have it.
REPLICATED = 5000
#: What INFO says when the last write of the kind went well.
WRITTEN = {
    "aof_last_write_status": "its append-only file",
    "aof_last_bgrewrite_status": "a rewrite of its append-only file",
    "rdb_last_bgsave_status": "a snapshot",
}


def judge(reading: Reading) -> list[str]:
    """What is wrong, in words with the names of members; empty when nothing is."""
    try:
        leader = cluster.primary(reading)
    except Failed as error:
        return [str(error)]
    problems = [] if leader else ["no member is the one that leads"]
    for member in reading.members.values():
        reason = cluster.unfit(reading, member, leader)
        if reason:
            problems.append(reason)
        problems += [
            f"{member.name} could not write {what}: {member.facts[key]}"
            for key, what in WRITTEN.items()
            if member.facts.get(key, "ok") != "ok"
        ]
    declared = {member.address for member in reading.members.values()}
    for sentinel in reading.sentinels.values():
        problems += [f"the Sentinel of {sentinel.name} {reason}" for reason in _watching(reading, sentinel, declared)]
    for member in reading.members.values():
        if member.address == leader:
            strange = sorted(set(member.attached) - declared)
            problems += [f"{other} follows {member.name}, and nobody declared it" for other in strange]
    return problems


def _watching(reading: Reading, sentinel: cluster.Sentinel, declared: set[str]) -> list[str]:
    """What is wrong with one Sentinel."""
    if sentinel.error:
        return [f"gives no answer: {sentinel.error}"]
    problems = []
    told = cluster.claimed(reading)
    if sentinel.primary != told:
        problems.append(f"calls {reading.named(sentinel.primary)} the primary, the others {reading.named(told)}")
    if sentinel.flags != "master":
        problems.append(f"sees the primary as {sentinel.flags}")
    if sentinel.others != len(reading.sentinels) - 1:
        problems.append(
            f"knows {sentinel.others} others, and {len(reading.sentinels) - 1} are declared; one that is gone for good "
            "is forgotten by make remove"
        )
    if sentinel.unusable:
        problems.append(f"could not let another member lead: {sentinel.unusable}")
    strange = sorted(set(sentinel.replicas) - declared)
    if strange:
        problems.append(f"watches {', '.join(strange)}, which nobody declared; make remove lets it forget")
    return problems


def discover(sentinels: Mapping[str, str], name: str, access: Access) -> str:
    """The primary's address, as a client learns it: from the first Sentinel that answers. Raises Failed."""
    reasons = []
    for address in sentinels.values():
        try:
            with access.client(address) as client:
                host, port = client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
                return cluster.join(host, port)
        except (Failed, TypeError) as error:
            reasons.append(str(error))
    raise Failed(f"no Sentinel names the primary: {'; '.join(reasons)}")


def probe(reading: Reading, name: str, address: str, access: Access) -> list[str]:
    """Write a key at the primary's address, and read it there and at all replicas; what went wrong.

    name: who asks, for the key's name.
    """
    key, value = f"holdfast:verify:{name}", f"{time.time():.6f}"
    replicas = [member for member in reading.members.values() if member.address != address]
    try:
        with access.client(address) as client:
            client.call("SET", key, value, "EX", LIFE)
            reached = client.call("WAIT", len(replicas), REPLICATED)
    except Failed as error:
        return [f"a write through the Sentinels failed: {error}"]
    problems = []
    if reached < len(replicas):
        problems.append(f"a write reached {reached} of {len(replicas)} replicas in {REPLICATED / 1000:g} s")
    for member in reading.members.values():
        try:
            with access.client(member.address) as client:
                found = client.call("GET", key)
        except Failed as error:
            problems.append(f"{member.name}: {error}")
            continue
        if found != value:
            problems.append(f"{member.name} does not have what was written at {reading.named(address)}")
    return problems


def strangers(addresses: Mapping[str, str], access: Access) -> list[str]:
    """Programs that answer somebody who gives no password; addresses by what they are."""
    found = []
    for what, address in addresses.items():
        client = access.client(address)
        try:
            with Client(client.server, "", ()) as stranger:
                reply = stranger.unauthenticated("PING")
        except Failed:
            continue
        if not isinstance(reply, Error):
            found.append(f"{what} answers clients without a password")
    return found
