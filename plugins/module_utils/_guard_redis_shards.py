# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a Redis Cluster: every slot stays with somebody, and every other member is in service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access
from ansible_collections.holdfast.platform.plugins.module_utils._redis_shards import Node, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock, until

#: Seconds that a hand-over may take; writes to the shard wait for at most five of them, then go on by themselves.
HAND_OVER = 15


@dataclass(frozen=True)
class State:
    """One look. limit: bytes of the replication stream by which a replica may trail."""

    reading: Reading
    limit: int = cluster.BEHIND

    def _node(self, name: str) -> Node:
        return self.reading.nodes.get(name, Node(name, "", "", error="nobody declared it"))

    def down(self, name: str) -> bool:
        """Tell whether the member's server gives no answer, or is no part of any shard yet."""
        node = self._node(name)
        return bool(node.error) or self._new(node)

    def _new(self, node: Node) -> bool:
        """Tell whether a member that runs is to get its shard yet."""
        return not (node.error or node.slots or node.primary)

    def leads(self, name: str) -> bool:
        """Tell whether the member has slots."""
        return bool(self._node(name).slots)

    def reasons(self, name: str) -> list[str]:
        """Say why the member may not stop now."""
        if self.down(name):
            return []
        others = [node for _, node in sorted(self.reading.nodes.items()) if node.name != name and not self._new(node)]
        found = [reason for node in others if (reason := shards.unfit(self.reading, node, self.limit))]
        lost = shards.uncovered(self.reading)
        if lost:
            found.append(f"nobody has the slots {shards.told(lost)}")
        if self.leads(name) and not self.successor(name):
            found.append(
                f"{name} leads the slots {shards.told(self._node(name).slots)}, and no replica could take over"
            )
        return found

    def successor(self, name: str) -> str:
        """Name the replica that takes the slots over: one in sync, in another zone when there is one."""
        node = self._node(name)
        fit = [one for one in self.reading.following(node) if not shards.unfit(self.reading, one, self.limit)]
        return min(fit, key=lambda one: (one.zone == node.zone, -one.offset, one.name)).name if node.id and fit else ""

    def missing(self, name: str, before: State) -> list[str]:  # noqa: ARG002 - the interface
        """Say what the member still lacks."""
        found = [shards.unfit(self.reading, self._node(name), self.limit)]
        return [reason for reason in found if reason] + shards.strange(self.reading)


class Adapter:
    """Reaches every server, given by name with its address and zone."""

    units = frozenset(("redis-server.service",))
    #: Every shard has a leader, so they don't wait for each other.
    leaders = True

    def __init__(
        self,
        members: Mapping[str, str],
        zones: Mapping[str, str],
        access: Access,
        *,
        limit: int = cluster.BEHIND,
        clock: Clock = REAL,
    ) -> None:
        """Keep how to reach them."""
        self.members, self.zones, self.access = dict(members), dict(zones), access
        self.limit, self.clock = limit, clock

    def load(self) -> State:
        """Ask all."""
        return State(shards.read(self.members, self.zones, self.access), self.limit)

    def hand_over(self, name: str, successor: str) -> None:
        """Let the replica take over: its primary lets writes wait until the replica has all of them.

        Raises Failed when it does not.
        """

        def ask() -> str:
            with self.access.client(self.members[successor]) as client:
                client.call("CLUSTER", "FAILOVER")
            return until(taken, HAND_OVER / 3, 0.2, self.clock)

        def taken() -> str:
            return "" if self.load().leads(successor) else f"{successor} does not take the slots of {name} over"

        reason = until(ask, HAND_OVER, 1, self.clock)
        if reason:
            raise Failed(reason)
