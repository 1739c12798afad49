# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of PostgreSQL with Patroni: leader, standbys and their lag, synchronous replication, pause.

Patroni's answers: https://patroni.readthedocs.io/en/latest/rest_api.html. What it says of the cluster may be one loop
old, and a dead member stays there until its lease runs out; so each member is asked too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._patroni_rest import (
    AbsentError,
    Client,
    FailedError,
    UnavailableError,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

LEADERS = ("leader", "standby_leader")
SYNCHRONOUS = ("sync_standby", "quorum_standby")
#: Seconds that Patroni may take for a switchover or a restart, which it answers when it is done.
LONG = 120


@dataclass(frozen=True)
class Member:
    """A member as the cluster (role, state, timeline, tags) and the member itself (the rest) tell.

    position is a byte position in the WAL: the leader's end, a standby's replayed one; None when unknown. error says
    why the member did not answer.
    """

    name: str
    role: str = ""
    state: str = ""
    streaming: bool = False
    timeline: int | None = None
    position: int | None = None
    paused: bool = False
    failover: bool = True
    pending: Mapping[str, Any] = field(default_factory=dict)
    pending_restart: bool = False
    error: str = ""


@dataclass(frozen=True)
class State:
    """One look: members by name (declared or live), limit is the largest fine lag in bytes, synchronous whether
    commits wait for a standby, pause whether Patroni is told to do nothing; error when the cluster gave no answer."""

    members: Mapping[str, Member] = field(default_factory=dict)
    limit: int = 16 * 1024 * 1024
    synchronous: bool = True
    pause: bool = False
    error: str = ""

    def _leader(self) -> Member | None:
        leaders = [member for member in self.members.values() if member.role in LEADERS]
        return leaders[0] if len(leaders) == 1 else None

    def lag(self, member: Member) -> int | None:
        """Bytes of WAL that a standby has not replayed yet; None when unknown."""
        leader = self._leader()
        if leader is None or leader.position is None or member.position is None:
            return None
        return max(0, leader.position - member.position)

    def _unfit(self, member: Member) -> str:
        """Say why a member is not in service; empty when it is."""
        leader = self._leader()
        if member.error:
            return f"{member.name} is down: {member.error}"
        if not member.role:
            return f"{member.name} is not in the cluster (it is down, or never joined)"
        if member.state != "running":
            return f"{member.name} is {member.state or 'in no known state'}, not running"
        if member.role in LEADERS:
            return ""
        if not member.streaming:
            return f"{member.name} does not stream"
        if leader and member.timeline != leader.timeline:
            return f"{member.name} is on timeline {member.timeline}, the leader on {leader.timeline}"
        lag = self.lag(member)
        if lag is None:
            return f"the lag of {member.name} is unknown"
        if lag > self.limit:
            return f"{member.name} lags by {lag} bytes, and {self.limit} is the limit"
        return f"replay is paused on {member.name}" if member.paused else ""

    def down(self, name: str) -> bool:
        """Tell whether PostgreSQL does not run on the member."""
        member = self.members.get(name, Member(name))
        return bool(member.error) or member.state != "running"

    def leads(self, name: str) -> bool:
        """Tell whether the member holds the leader's lease."""
        leader = self._leader()
        return leader is not None and leader.name == name

    def _standbys(self) -> list[str]:
        return [name for name, member in self.members.items() if member.role in SYNCHRONOUS and not member.error]

    def reasons(self, name: str) -> list[str]:
        """Say why the member may not stop now."""
        if self.down(name):
            return []
        if self.error:
            return [f"the cluster can't be read: {self.error}"]
        found = [] if self._leader() else ["no member is the one leader"]
        if self.pause:
            found.append("Patroni is paused: nobody takes over when the leader dies")
        others = [member for other, member in sorted(self.members.items()) if other != name]
        found += [reason for member in others if (reason := self._unfit(member))]
        if self.synchronous and others and not self._standbys():
            found.append("there is no synchronous standby: a commit is on one member only")
        if self.leads(name) and others and not self.successor(name):
            found.append(f"{name} leads, and no standby could take over")
        return found

    def successor(self, name: str) -> str:
        """Name the standby that takes over with the least to replay; a synchronous one where commits wait for one."""
        fit = [
            member
            for other, member in sorted(self.members.items())
            if other != name
            and member.role not in LEADERS
            and member.failover
            and (not self.synchronous or member.role in SYNCHRONOUS)
            and not self._unfit(member)
        ]
        best = min(fit, key=lambda member: (member.pending_restart, self.lag(member) or 0), default=None)
        return best.name if best else ""

    def missing(self, name: str, before: State) -> list[str]:
        """Say what the member still lacks: it streams (or leads), its lag is small, and as many standbys acknowledge
        commits as before."""
        if self.error:
            return [self.error]
        found = [] if self._leader() else ["no member is the one leader"]
        found += [reason for reason in [self._unfit(self.members.get(name, Member(name)))] if reason]
        if self.synchronous and len(self._standbys()) < len(before._standbys()):
            found.append(f"{len(self._standbys())} of {len(before._standbys())} synchronous standbys are back")
        return found


def merge(cluster: Mapping[str, Any], answers: Mapping[str, Mapping[str, Any] | str]) -> dict[str, Member]:
    """Members from `GET /cluster` and each one's own `GET /patroni` (a text when it did not answer)."""
    listed = {str(member["name"]): member for member in cluster.get("members", ())}
    members = {}
    for name in sorted({*listed, *answers}):
        seen, own = listed.get(name, {}), answers.get(name, "its address is not declared")
        if isinstance(own, str):
            members[name] = Member(name, role=seen.get("role", ""), error=own)
            continue
        xlog, tags = own.get("xlog", {}), seen.get("tags", {})
        streams = own.get("replication_state", seen.get("state")) == "streaming"
        position = xlog.get("location", xlog.get("replayed_location"))
        members[name] = Member(
            name,
            role=seen.get("role", ""),
            state=own.get("state", ""),
            streaming=streams,
            timeline=own.get("timeline"),
            position=position if isinstance(position, int) else None,
            paused=bool(xlog.get("paused")),
            failover=not tags.get("nofailover"),
            pending=own.get("pending_restart_reason") or {},
            pending_restart=bool(own.get("pending_restart")),
        )
    return members


class Adapter:
    """Reaches every member's REST interface; urls maps their names to base URLs."""

    units = frozenset(("patroni.service",))
    leaders = False

    def __init__(self, client: Client, urls: Mapping[str, str], limit: int) -> None:
        """Keep how to reach the members, and the largest fine lag in bytes."""
        self.client, self.urls, self.limit = client, dict(urls), limit

    def load(self) -> State:
        """Ask the cluster, then each member."""
        answers: dict[str, Mapping[str, Any] | str] = {}
        for name, url in self.urls.items():
            try:
                answers[name] = self.client.request(url, "/patroni")
            except (AbsentError, FailedError) as error:
                answers[name] = str(error)
        try:
            url, cluster = self.client.first("/cluster")
            config = self.client.request(url, "/config")
        except (AbsentError, FailedError, UnavailableError) as error:
            return State(merge({}, answers), self.limit, error=str(error))
        for member in cluster.get("members", ()):
            if member["name"] not in answers and member.get("api_url"):
                answers[member["name"]] = self._own(member["api_url"])
        mode = str(config.get("synchronous_mode", "off")).lower()
        return State(
            merge(cluster, answers),
            self.limit,
            synchronous=mode not in ("off", "false", "none", "0"),
            pause=bool(cluster.get("pause")),
        )

    def _own(self, api_url: str) -> Mapping[str, Any] | str:
        try:
            answer: Mapping[str, Any] = self.client.request(api_url.removesuffix("/patroni"), "/patroni")
        except (AbsentError, FailedError) as error:
            return str(error)
        return answer

    def hand_over(self, name: str, successor: str) -> None:
        """Ask for a switchover from name to successor, and wait for its end."""
        self._ask(self.urls[name], "/switchover", {"leader": name, "candidate": successor})

    def restart(self, name: str) -> None:
        """Let the member's Patroni restart PostgreSQL, when it waits for a restart, and wait for its end."""
        self._ask(self.urls[name], "/restart", {"restart_pending": True})

    def _ask(self, url: str, path: str, body: Mapping[str, object]) -> None:
        try:
            self.client.request(url, path, method="POST", body=body, timeout=LONG)
        except (AbsentError, FailedError) as error:
            raise Failed(f"Patroni did not carry out {path}: {error}") from error
