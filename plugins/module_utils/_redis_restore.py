# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a Redis cluster back from a copy, and forgetting a member.

The primary of the restored cluster begins with the copy as the base of its append-only file, since a server that keeps
one reads nothing else at its start. The others begin empty and follow it. Shards begin with a file besides that tells
each member who is who: they are a new cluster, whose ids no member of the former one knows.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as member
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils._redis import split
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._redis_snapshot import gap
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

AOF = Path("appendonlydir")
BASE = "appendonly.aof.1.base.rdb"
MANIFEST = "appendonly.aof.manifest"
NODES = "nodes.conf"
#: Seconds in which a Sentinel has to find the others again; they tell of themselves every two, servers every ten.
FOUND = 60


@dataclass(frozen=True)
class Plan:
    """A member that is brought back: its data directory, its address and that of the primary, and a word that tells
    this restore from others."""

    data: Path
    own: str
    primary: str
    token: str

    @property
    def prepared(self) -> Path:
        """Where the new data wait for the swap."""
        return self.data.with_name(f"{self.data.name}.restored")

    @property
    def aside(self) -> Path:
        """Where the old data are kept."""
        return self.data.with_name(f"{self.data.name}.before-{self.token}")


@dataclass(frozen=True)
class Place:
    """What a member of restored shards begins as: its id and that of its shard, the shard's epoch, and the slots that
    it leads with the file of their data, or the name of the primary that it follows."""

    id: str
    shard: str
    epoch: int
    slots: shards.Ranges = ()
    file: str = ""
    primary: str = ""


def layout(figures: Mapping[str, Any], zones: Mapping[str, str], replicas: int, token: str) -> dict[str, Place]:
    """Who begins as what, by name, from what the copy's manifest says. Nothing of it depends on the former cluster.

    zones: of all members. token: a word that tells this restore from others. Raises Failed for a copy that these
    members can't take.
    """
    copied: Sequence[Mapping[str, Any]] = figures.get("shards", ())
    if not copied:
        raise Failed(
            "this copy is of one primary with Sentinels, and redis_topology is cluster; choose a copy of shards"
        )
    problem = gap([pair for shard in copied for pair in shard["slots"]])
    if problem:
        raise Failed(f"this copy is not whole: {problem}")
    wanted = len(copied) * (1 + replicas)
    if len(zones) < wanted:
        raise Failed(
            f"this copy has {len(copied)} shards, which want {wanted} members (redis_cluster_replicas: {replicas}), "
            f"and there are {len(zones)}; add members, or choose a copy with fewer shards"
        )

    def made(what: str) -> str:
        """An id as Redis makes them, 160 bits that nobody else has."""
        return hashlib.sha1(f"{token} {what}".encode()).hexdigest()  # noqa: S324 - a name, not a proof

    leading = shards.founders(zones, replicas, len(copied))
    found = {}
    for epoch, (name, shard) in enumerate(zip(leading, copied), 1):
        slots = tuple((pair[0], pair[1]) for pair in shard["slots"])
        found[name] = Place(made(name), made(f"shard {epoch}"), epoch, slots, str(shard["file"]))
    free = {name: zone for name, zone in zones.items() if name not in found}
    pairs = shards.matched(free, {name: zones[name] for name in leading}, dict.fromkeys(leading, 0))
    for name, primary in pairs.items():
        found[name] = Place(made(name), found[primary].shard, found[primary].epoch, primary=primary)
    return found


def knows_shards(said: str) -> bool:
    """Whether this Redis writes down whose shard a node is (since 7.2), from `redis-server --version`. It takes a file
    without that for an older one's, and then a primary does not count itself among the nodes of its shard."""
    found = re.search(r"\bv=(\d+)\.(\d+)", said)
    return found is None or (int(found[1]), int(found[2])) >= (7, 2)


def nodes_file(
    places: Mapping[str, Place], own: str, addresses: Mapping[str, str], bus: int, *, with_shards: bool = True
) -> str:
    """What a member begins with to know all others: the file that Redis keeps itself then (redis/src/cluster_legacy.c,
    clusterLoadConfig). own: the member's name. bus: the port on which members talk. with_shards: see `knows_shards`.
    """
    lines = []
    for name, place in sorted(places.items()):
        host, port = split(addresses[name])
        flags = ("myself," if name == own else "") + ("slave" if place.primary else "master")
        primary = places[place.primary].id if place.primary else "-"
        told = f",,shard-id={place.shard}" if with_shards else ""
        slots = [f"{first}-{last}" if last > first else str(first) for first, last in place.slots]
        words = [place.id, f"{host}:{port}@{bus}{told}", flags, primary, "0 0", str(place.epoch)]
        lines.append(" ".join([*words, "connected", *slots]))
    epoch = max(place.epoch for place in places.values())
    return "\n".join([*lines, f"vars currentEpoch {epoch} lastVoteEpoch 0"]) + "\n"


def prepare(plan: Plan, snapshot: Path | None, owner: str, nodes: str = "") -> None:
    """Make the new data beside the old ones; the running member is not touched. snapshot: for a primary.

    nodes: what a member of shards begins with. Raises Failed, and nothing has changed.
    """
    if plan.prepared.exists() and not plan.data.exists():
        plan.prepared.rename(plan.data)  # a swap that was cut off; today's users are there
    free = shutil.disk_usage(plan.data.parent).free
    needed = (2 * snapshot.stat().st_size if snapshot else 0) + 64 * 1024 * 1024
    if free < needed:
        raise Failed(f"{plan.data.parent} has {free >> 20} MiB left, and the restored data need {needed >> 20} MiB")
    shutil.rmtree(plan.prepared, ignore_errors=True)
    plan.prepared.mkdir(mode=0o700)
    (plan.prepared / member.SERVER).write_text(member.server_file(plan.primary, plan.own), encoding="utf-8")
    (plan.prepared / member.FIRST_START).touch()
    if nodes:
        (plan.prepared / NODES).write_text(nodes, encoding="utf-8")
    users = plan.data / member.USERS
    if users.exists():  # those of today: a copy holds none
        shutil.copyfile(users, plan.prepared / member.USERS)
    if snapshot:
        run(["redis-check-rdb", str(snapshot)])
        (plan.prepared / AOF).mkdir(mode=0o700)
        shutil.copyfile(snapshot, plan.prepared / AOF / BASE)
        (plan.prepared / AOF / MANIFEST).write_text(f"file {BASE} seq 1 type b\n", encoding="utf-8")
    run(["chown", "-R", f"{owner}:{owner}", str(plan.prepared)])


def swap(plan: Plan) -> None:
    """Put the old data aside and the new ones in their place; the member is stopped. Run again it goes on."""
    if not plan.prepared.exists():
        return
    if plan.data.exists() and plan.aside.exists():
        shutil.rmtree(plan.data)  # a directory that somebody made after the old data were put aside
    if plan.data.exists():
        plan.data.rename(plan.aside)
    plan.prepared.rename(plan.data)


def check_leave(reading: Reading, name: str) -> None:
    """Raise Failed when a member can't be forgotten yet: it still leads, or not enough others are well."""
    leader = cluster.primary(reading)
    if not leader or reading.named(leader) == name:
        raise Failed(
            f"{name} is still the primary; wait until the Sentinels have chosen another one, and run this again"
        )
    unwell = [
        other.name for other in reading.members.values() if other.name != name and cluster.unfit(reading, other, leader)
    ]
    unwell += [f"the Sentinel of {one.name}" for one in reading.sentinels.values() if one.name != name and one.error]
    if unwell:
        raise Failed(
            f"{name} is not forgotten while {', '.join(sorted(unwell))} is not in service; bring that back first"
        )


def remembered(reading: Reading, name: str, address: str) -> list[str]:
    """The Sentinels that still know the member: as a server, or as one Sentinel more than stay."""
    stay = [one for one in reading.sentinels.values() if one.name != name]
    return sorted(one.name for one in stay if address in one.replicas or one.others > len(stay) - 1)


def forget(reading: Reading, name: str, address: str, cluster_name: str, access: Access) -> list[str]:
    """Let one Sentinel after the other forget everybody, and find those again who are there; who had to.

    A Sentinel that has forgotten can't judge for a moment, so the next one waits until it can. Raises Failed.
    """
    told = remembered(reading, name, address)
    stay: Mapping[str, str] = {one.name: one.address for one in reading.sentinels.values() if one.name != name}
    servers = {one.name: one.address for one in reading.members.values() if one.name != name}
    for sentinel in told:
        with access.client(stay[sentinel]) as client:
            client.call("SENTINEL", "RESET", cluster_name)

        def lacks(sentinel: str = sentinel) -> str:
            found = cluster.ask_sentinel(sentinel, stay[sentinel], cluster_name, access)
            known = set(found.replicas) | {found.primary}
            missing = sorted(set(servers.values()) - known)
            if found.error or missing or found.others != len(stay) - 1:
                return (
                    found.error or f"{found.others} of {len(stay) - 1} others, without {', '.join(missing) or 'nobody'}"
                )
            return ""

        reason = until(lacks, FOUND, 1)
        if reason:
            raise Failed(f"the Sentinel of {sentinel} has not found the others again after {FOUND} s: {reason}")
    return told
