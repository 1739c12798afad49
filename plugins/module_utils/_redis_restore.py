# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a Redis cluster back from a copy, and forgetting a member.

The primary of the restored cluster begins with the copy as the base of its append-only file, since a server that keeps
one reads nothing else at its start. The others begin empty and follow it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as member
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

AOF = Path("appendonlydir")
BASE = "appendonly.aof.1.base.rdb"
MANIFEST = "appendonly.aof.manifest"
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


def prepare(plan: Plan, snapshot: Path | None, owner: str) -> None:
    """Make the new data beside the old ones; the running member is not touched. snapshot: for the primary.

    Raises Failed, and nothing has changed.
    """
    free = shutil.disk_usage(plan.data.parent).free
    needed = (2 * snapshot.stat().st_size if snapshot else 0) + 64 * 1024 * 1024
    if free < needed:
        raise Failed(f"{plan.data.parent} has {free >> 20} MiB left, and the restored data need {needed >> 20} MiB")
    shutil.rmtree(plan.prepared, ignore_errors=True)
    plan.prepared.mkdir(mode=0o700)
    (plan.prepared / member.SERVER).write_text(member.server_file(plan.primary, plan.own), encoding="utf-8")
    (plan.prepared / member.FIRST_START).touch()
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
