# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of etcd: voters, quorum, learners, alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Client, Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Log entries by which a member may trail the newest.
BEHIND = 1000


@dataclass(frozen=True)
class State:
    """One look: the member list, what each answered by name (a status, or why there is none), raised alarms; error
    when the cluster as a whole gave no answer."""

    members: Sequence[Member] = ()
    answers: Mapping[str, Status | str] = field(default_factory=dict)
    alarms: Sequence[str] = ()
    error: str = ""

    def _statuses(self) -> dict[str, Status]:
        return {name: answer for name, answer in self.answers.items() if isinstance(answer, Status)}

    def _newest(self) -> int:
        return max((status.raft_index for status in self._statuses().values()), default=0)

    def down(self, name: str) -> bool:
        """Tell whether the member gives no status."""
        return not isinstance(self.answers.get(name), Status)

    def leads(self, name: str) -> bool:
        """Tell whether the member is the leader that it sees itself."""
        answer = self.answers.get(name)
        return isinstance(answer, Status) and answer.leader == answer.id

    def _unfit(self, member: Member) -> str:
        """Say why a member is no healthy voter; empty when it is one."""
        name, answer = member.name or "(not started)", self.answers.get(member.name)
        if member.learner:
            return f"{name} is a learner, and not a voter yet"
        if not isinstance(answer, Status):
            return f"{name} is down: {answer or 'it was never started'}"
        if answer.leader == "0":
            return f"{name} sees no leader"
        if self._newest() - answer.raft_index > BEHIND:
            return f"{name} trails by {self._newest() - answer.raft_index} log entries"
        return ""

    def reasons(self, name: str) -> list[str]:
        """Say why the member may not stop now.

        A cluster of one has nothing to lose by order: its only member may stop.
        """
        if self.down(name):
            return []
        if self.error:
            return [f"etcd can't be read: {self.error}"]
        found = [reason for member in self.members if member.name != name and (reason := self._unfit(member))]
        found += [f"{member.name} is a learner" for member in self.members if member.name == name and member.learner]
        leaders = {status.leader for status in self._statuses().values()} - {"0"}
        if len(leaders) > 1:
            found.append(f"members follow different leaders: {', '.join(sorted(leaders))}")
        found.extend(f"alarm {alarm}" for alarm in self.alarms)
        voters = [member for member in self.members if not member.learner]
        left = sum(1 for member in voters if member.name != name and not self._unfit(member))
        quorum = len(voters) // 2 + 1
        if len(voters) > 1 and left < quorum:
            found.append(f"{left} healthy of {len(voters)} voters would be left, and the quorum is {quorum}")
        return found

    def successor(self, name: str) -> str:
        """Name the healthy voter with the newest log."""
        statuses = self._statuses()
        fit = [member.name for member in self.members if member.name != name and not self._unfit(member)]
        return max(sorted(fit), key=lambda other: statuses[other].raft_index, default="")

    def missing(self, name: str, before: State) -> list[str]:  # noqa: ARG002 - the interface
        """Say what keeps the member from being a healthy voter, or the cluster from having a leader."""
        if self.error:
            return [self.error]
        mine = [member for member in self.members if member.name == name]
        if not mine:
            return [f"{name} is not a member of the cluster"]
        return [reason for reason in [self._unfit(mine[0])] if reason]


class Adapter:
    """Reaches every member; urls maps their names to client URLs, connect makes a client of some URLs."""

    units = frozenset(("etcd.service",))
    leaders = False

    def __init__(self, urls: Mapping[str, str], connect: Callable[[Sequence[str]], Client]) -> None:
        """Keep how to reach the members."""
        self.urls, self.connect = dict(urls), connect

    def load(self) -> State:
        """Ask the cluster for its members and alarms, and each for its status."""
        answers: dict[str, Status | str] = {name: self._status(url) for name, url in self.urls.items()}
        living = [self.urls[name] for name, answer in answers.items() if isinstance(answer, Status)]
        if not living:
            return State(answers=answers, error="; ".join(str(answer) for answer in answers.values()))
        client = self.connect(living)
        try:
            members, alarms = client.members(), client.alarms()
        except Failed as error:
            return State(answers=answers, error=str(error))
        for member in members:
            if member.name and member.name not in answers:
                answers[member.name] = self._status(*member.client_urls)
        return State(members, answers, alarms)

    def _status(self, *urls: str) -> Status | str:
        try:
            return self.connect(urls).status()
        except Failed as error:
            return str(error)

    def hand_over(self, name: str, successor: str) -> None:
        """Ask the leader, which name is, to let successor lead."""
        client = self.connect([self.urls[name]])
        target = next((member.id for member in client.members() if member.name == successor), "")
        client.post("maintenance/transfer-leadership", {"targetID": target})
