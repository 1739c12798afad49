# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of Redis: one primary, replicas that have what it has, Sentinels that can choose another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils._redis import split
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access, Member, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock, until

#: Milliseconds for which writes wait while the lead moves; they go on by themselves when it does not.
PAUSE = 20000


@dataclass(frozen=True)
class State:
    """One look. limit: bytes of the replication stream by which a replica may trail."""

    reading: Reading
    limit: int = cluster.BEHIND

    def _member(self, name: str) -> Member:
        return self.reading.members.get(name, Member(name, "", error="nobody declared it"))

    def _leader(self) -> str:
        try:
            return cluster.primary(self.reading)
        except Failed:
            return ""

    def _unfit(self, member: Member) -> str:
        return cluster.unfit(self.reading, member, self._leader(), self.limit)

    def down(self, name: str) -> bool:
        """Tell whether the member's server gives no answer."""
        return bool(self._member(name).error)

    def leads(self, name: str) -> bool:
        """Tell whether the member is the primary."""
        member = self._member(name)
        return bool(member.address) and member.address == self._leader()

    def reasons(self, name: str) -> list[str]:
        """Say why the member may not stop now."""
        if self.down(name) or len(self.reading.members) == 1:
            return []
        found = [] if self._leader() else ["no member is the one that leads"]
        others = [member for _, member in sorted(self.reading.members.items()) if member.name != name]
        found += [reason for member in others if (reason := self._unfit(member))]
        found += self._sentinels(name)
        if self.leads(name) and not self.successor(name):
            found.append(f"{name} leads, and no replica could take over")
        return found

    def _sentinels(self, name: str) -> list[str]:
        """Say why the Sentinels without the member's own could not choose a primary."""
        sentinels = self.reading.sentinels
        told = cluster.claimed(self.reading)
        found, left = [], 0
        for sentinel in sentinels.values():
            if sentinel.name == name:
                continue
            if sentinel.error:
                found.append(f"the Sentinel of {sentinel.name} is down: {sentinel.error}")
            elif sentinel.primary != told:
                found.append(
                    f"the Sentinel of {sentinel.name} calls {self.reading.named(sentinel.primary)} the primary"
                )
            elif "failover" in sentinel.flags:
                found.append("a failover is under way")
            else:
                left += 1
        quorum = len(sentinels) // 2 + 1
        if left < quorum:
            found.append(f"{left} of {len(sentinels)} Sentinels would be left, and {quorum} have to agree on a primary")
        return found

    def successor(self, name: str) -> str:
        """Name the replica that the Sentinels will take: of those that are in sync, the one with the smallest run id.

        Writes wait while the lead moves, so all have the same offset (https://redis.io/docs/latest/operate/oss_and_stack/
        management/sentinel/, Replica selection and priority).
        """
        fit = [member for member in self.reading.members.values() if member.name != name and not self._unfit(member)]
        return min(fit, key=lambda member: member.run_id).name if fit else ""

    def missing(self, name: str, before: State) -> list[str]:  # noqa: ARG002 - the interface
        """Say what the member still lacks."""
        leader = self._leader()
        if not leader:
            return ["no member is the one that leads"]
        found = [reason for reason in [self._unfit(self._member(name))] if reason]
        sentinel = self.reading.sentinels.get(name)
        if sentinel and sentinel.error:
            found.append(f"the Sentinel of {name} is down: {sentinel.error}")
        return found


class Adapter:
    """Reaches every server and every Sentinel, given by name with their addresses."""

    units = frozenset(("redis-server.service",))
    leaders = False

    def __init__(
        self,
        members: Mapping[str, str],
        sentinels: Mapping[str, str],
        name: str,
        access: Access,
        *,
        limit: int = cluster.BEHIND,
        clock: Clock = REAL,
    ) -> None:
        """Keep how to reach them; name: the cluster's."""
        self.members, self.sentinels, self.name = dict(members), dict(sentinels), name
        self.access, self.limit, self.clock = access, limit, clock

    def load(self) -> State:
        """Ask all."""
        return State(cluster.read(self.members, self.sentinels, self.name, self.access), self.limit)

    def hand_over(self, name: str, successor: str) -> None:
        """Let writes wait until the replicas have all, ask the Sentinels for another primary, and follow that one.

        What the primary acknowledged while it is replaced would be lost otherwise. Writes that wait are refused, by a
        replica, and their clients find the new primary.
        """
        with self.access.client(self.members[name]) as leader:
            leader.call("CLIENT", "PAUSE", PAUSE, "WRITE")
            try:
                self._insist(lambda: self._trailing(successor), PAUSE / 4000)
                self._ask()
                self._insist(lambda: self._leading(name), PAUSE / 1000 * 0.6)
                # The Sentinels' own connection to this server waits, too, so they could not tell it.
                leader.call("REPLICAOF", *split(self._claimed()))
            finally:
                with contextlib.suppress(Failed):
                    leader.pipeline([("CLIENT", "UNPAUSE"), ("CLIENT", "KILL", "TYPE", "normal")])

    def _insist(self, look: Callable[[], str], seconds: float) -> None:
        reason = until(look, seconds, 0.1, self.clock)
        if reason:
            raise Failed(reason)

    def _trailing(self, successor: str) -> str:
        reading = cluster.read(self.members, {}, self.name, self.access)
        trailing = cluster.lag(reading, reading.members[successor])
        return f"{successor} trails by {trailing} bytes while writes wait, so it does not take over" if trailing else ""

    def _claimed(self) -> str:
        return cluster.claimed(cluster.read({}, self.sentinels, self.name, self.access))

    def _leading(self, name: str) -> str:
        leads = self._claimed() in ("", self.members[name])
        return f"the Sentinels did not replace {name}; see their journal" if leads else ""

    def _ask(self) -> None:
        """Ask the Sentinels, one after the other, until one begins. Raises Failed with what they said."""
        said = []
        for address in self.sentinels.values():
            try:
                with self.access.client(address) as sentinel:
                    sentinel.call("SENTINEL", "FAILOVER", self.name)
            except Failed as error:
                said.append(str(error))
            else:
                return
        raise Failed(f"no Sentinel begins a failover: {'; '.join(said)}")
