# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is an etcd cluster as it should be? `read` asks every member, `judge` decides from one reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Client, Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


@dataclass(frozen=True)
class Reading:
    """One look at the cluster: its member list, what each endpoint answered (a status, or why there is none), alarms,
    and whether a client without a password was let in."""

    members: Sequence[Member] = ()
    answers: Mapping[str, Status | str] = field(default_factory=dict)
    alarms: Sequence[str] = ()
    open_door: bool = False
    error: str = ""


def judge(expected: Mapping[str, str], reading: Reading, *, quota: int, behind: int = 1000) -> list[str]:
    """What is wrong, in words; empty when nothing is.

    expected maps the names of the declared members to their client URLs. quota is the largest size of the database in
    bytes, behind the number of log entries by which a member may trail the others.
    """
    if reading.error:
        return [f"the cluster can't be read: {reading.error}"]
    problems = []
    known = {member.name: member for member in reading.members}
    for name, url in expected.items():
        answer = reading.answers.get(url)
        if name not in known:
            problems.append(f"{name} is not a member of the cluster")
        elif known[name].learner:
            problems.append(f"{name} is still a learner")
        if not isinstance(answer, Status):
            problems.append(f"{name} does not answer: {answer}")
    problems.extend(
        f"{name or '(not started)'} is a member, and nobody declared it" for name in known if name not in expected
    )
    found = {name: reading.answers.get(url) for name, url in expected.items()}
    statuses = {name: answer for name, answer in found.items() if isinstance(answer, Status)}
    leaders = {status.leader for status in statuses.values()}
    if "0" in leaders:
        problems.append("members see no leader")
    if len(leaders - {"0"}) > 1:
        problems.append(f"members follow different leaders: {', '.join(sorted(leaders))}")
    newest = max((status.raft_index for status in statuses.values()), default=0)
    for name, status in statuses.items():
        if newest - status.raft_index > behind:
            problems.append(f"{name} trails by {newest - status.raft_index} log entries")
        if status.db_bytes > 0.8 * quota:
            problems.append(f"the database of {name} fills {status.db_bytes} of {quota} bytes")
        unused = status.db_bytes - status.db_bytes_used
        if status.db_bytes > 64 * 1024 * 1024 and unused > 0.6 * status.db_bytes:
            problems.append(
                f"{unused} of {status.db_bytes} bytes of the database of {name} hold nothing: "
                "start holdfast-maintain-etcd.service, or wait for its hour"
            )
        problems.extend(f"{name} reports: {error}" for error in status.errors)
    problems.extend(f"alarm {alarm}" for alarm in reading.alarms)
    if reading.open_door:
        problems.append("a client without a password was let in: authentication is off")
    return problems


def read(clients: Mapping[str, Client], stranger: Client | None) -> Reading:
    """Ask every member for its status, and any one of them for the rest.

    stranger is a client without user and password; None where certificates alone let in, as to the etcd of Kubernetes.
    """
    answers: dict[str, Status | str] = {}
    for url, client in clients.items():
        try:
            answers[url] = client.status()
        except Failed as error:
            answers[url] = str(error)
    living = [client for url, client in clients.items() if isinstance(answers[url], Status)]
    if not living:
        return Reading(error="; ".join(str(answer) for answer in answers.values()))
    try:
        members, alarms = living[0].members(), living[0].alarms()
    except Failed as error:
        return Reading(answers=answers, error=str(error))
    return Reading(members, answers, alarms, stranger is not None and _gets_in(stranger))


def _gets_in(stranger: Client) -> bool:
    try:
        stranger.post("auth/user/list")
    except Failed:
        return False
    return True
