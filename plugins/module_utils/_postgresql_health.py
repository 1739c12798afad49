# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a Patroni cluster as it should be?

`judge_cluster` decides from Patroni's view, `judge_client` from what a client sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEADERS = ("leader", "standby_leader")
SYNCHRONOUS = ("sync_standby", "quorum_standby")


@dataclass(frozen=True)
class Wish:
    """What was declared: names of the members, whether commits wait for a standby, the largest fine lag in bytes."""

    members: Sequence[str]
    synchronous: bool
    lag: int = 16 * 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """What one client connection showed: whether the server is a replica, and settings as PostgreSQL shows them."""

    replica: bool
    settings: Mapping[str, str] = field(default_factory=dict)


def judge_cluster(wish: Wish, cluster: Mapping[str, Any]) -> list[str]:
    """What is wrong in Patroni's answer to `GET /cluster`, in words; empty when nothing is.

    The answer's shape: https://patroni.readthedocs.io/en/latest/rest_api.html, section Cluster status endpoints.
    """
    members = {member["name"]: member for member in cluster.get("members", ())}
    leaders = [name for name, member in members.items() if member.get("role") in LEADERS]
    problems = []
    if len(leaders) != 1:
        problems.append(f"{len(leaders)} leaders: {', '.join(leaders) or 'nobody'}")
    timelines = {members[name].get("timeline") for name in leaders}
    for name in wish.members:
        if name not in members:
            problems.append(f"{name} is not a member of the cluster (it is down, or never joined)")
            continue
        problems.extend(_judge_member(name, members[name], leader=name in leaders, timelines=timelines, lag=wish.lag))
    problems.extend(f"{name} is a member, and nobody declared it" for name in members if name not in wish.members)
    standbys = [name for name, member in members.items() if member.get("role") in SYNCHRONOUS]
    if wish.synchronous and len(wish.members) > 1 and not standbys:
        problems.append("no synchronous standby: a commit is on one member only")
    if cluster.get("pause"):
        problems.append("Patroni is paused: nobody takes over when the leader dies")
    return problems


def _judge_member(
    name: str, member: Mapping[str, Any], *, leader: bool, timelines: Collection[Any], lag: int
) -> Iterable[str]:
    state = member.get("state")
    if state not in (("running", "streaming") if leader else ("streaming",)):  # the leader of a standby cluster streams
        yield f"{name} is {state or 'in no known state'}, not {'running' if leader else 'streaming'}"
    elif timelines and member.get("timeline") not in timelines:
        yield f"{name} is on timeline {member.get('timeline')}, the leader on {', '.join(map(str, timelines))}"
    behind = member.get("lag", 0)
    if not leader and (not isinstance(behind, int) or behind > lag):
        yield f"{name} lags by {behind} bytes" if isinstance(behind, int) else f"the lag of {name} is unknown"
    if member.get("pending_restart"):
        yield f"{name} has to be restarted for parameters that were changed"


def judge_client(path: str, seen: Seen | str, *, replica: bool, settings: Mapping[str, object]) -> list[str]:
    """What is wrong with one client connection; seen is what it showed, or why it failed.

    A setting that should be a number may be given as one.
    """
    if isinstance(seen, str):
        return [f"{path}: {seen}"]
    problems = []
    if seen.replica is not replica:
        there, wanted = ("replica", "leader") if seen.replica else ("leader", "replica")
        problems.append(f"{path} leads to a {there}, not to a {wanted}")
    for name, value in settings.items():
        if seen.settings.get(name) != str(value):
            problems.append(f"{path}: {name} is {seen.settings.get(name)!r}, not {str(value)!r}")
    return problems
