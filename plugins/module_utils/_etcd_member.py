# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes a member of an etcd cluster.

The live cluster is asked; a place in the inventory decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import (
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    UNAVAILABLE,
    Client,
    Member,
    Refused,
    Status,
    Unreachable,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

MEMBER = "member"  # has data, and the cluster (if it answers) knows it
LEARNER = "learner"  # has data, and no vote yet: its join was cut off
JOINABLE = "joinable"  # has no data, and a live cluster is there
UNFORMED = "unformed"  # nobody answers, and this host has no data, or only that of a formation which was cut off

# In the data directory: what the first start needs to know.
FIRST_START = "first-start.env"


@dataclass(frozen=True)
class Wish:
    """The member that this host is to be."""

    name: str
    peer_url: str


def standing(wish: Wish, *, has_data: bool, forming: bool, live: Sequence[Member] | None) -> str:
    """Where the host stands: one of MEMBER, LEARNER, JOINABLE, UNFORMED.

    forming: the first start has begun and was never completed. live are the members that the cluster names, None when
    no cluster with a leader answered. Raises Failed for a host that has data of a cluster which doesn't know it any
    more: starting it would only make it log errors for ever.
    """
    if live is None:
        return MEMBER if has_data and not forming else UNFORMED
    if not has_data:
        return JOINABLE
    if not any(wish.peer_url in member.peer_urls for member in live):
        names = ", ".join(member.name or "(not started)" for member in live)
        raise Failed(
            f"{wish.name} has the data of a cluster that does not know it any more (members: {names}). "
            "It was removed: move its data directory away, then run again, and it joins as a new member."
        )
    return LEARNER if any(wish.peer_url in member.peer_urls and member.learner for member in live) else MEMBER


def living(client: Client) -> list[Member] | None:
    """The members of the live cluster; None when nobody answers, or nobody who follows a leader."""
    try:
        return client.members()
    except Unreachable:
        return None
    except Refused as refusal:
        if refusal.code in (DEADLINE_EXCEEDED, UNAVAILABLE):
            return None
        raise


def check_formed(wish: Wish, live: Sequence[Member]) -> None:
    """Raise Failed unless the cluster that came up meanwhile counts this host among its members."""
    if not any(wish.peer_url in member.peer_urls for member in live):
        names = ", ".join(member.name or "(not started)" for member in live)
        raise Failed(f"{wish.name} can't form a cluster: there is one without it now (members: {names}); run again")


def stale(wish: Wish, live: Sequence[Member]) -> Member | None:
    """The entry that this host left behind when it lost its data: started, under its name or address. None if none."""
    for member in live:
        if wish.peer_url in member.peer_urls and member.name:
            return member
        if member.name == wish.name:
            return member
    return None


def entered(wish: Wish, live: Sequence[Member]) -> bool:
    """Whether the cluster waits for this host already (added, not started): an earlier run was cut off."""
    return any(wish.peer_url in member.peer_urls and not member.name for member in live)


def check_join(wish: Wish, live: Sequence[Member], silent: Collection[str]) -> None:
    """Raise Failed when the host should not join now; silent are the ids of members that do not answer.

    A cluster with a dead member would need a larger majority with the new one: 3 of 4 in place of 2 of 3, of which one
    is dead already. So the dead one leaves first, or comes back.
    """
    others = [member for member in live if wish.peer_url not in member.peer_urls and member.name != wish.name]
    dead = [member.name or member.peer_urls[0] for member in others if member.id in silent]
    if dead:
        raise Failed(
            f"{wish.name} does not join: {', '.join(dead)} does not answer, and with one more member the cluster would "
            f"need {(len(others) + 1) // 2 + 1} of {len(others) + 1} instead of {len(others) // 2 + 1} of "
            f"{len(others)}. Start it, or take it out for good: make remove HOST={dead[0]}"
        )
    joining = [member.name or member.peer_urls[0] for member in others if member.learner]
    if joining:
        raise Failed(f"{wish.name} does not join: {', '.join(joining)} is joining, one at a time")


def named(name: str, peer_url: str | None, members: Sequence[Member]) -> Member | None:
    """The member of a name. One that was added and never came up has none yet, and is known by its peer URL."""
    for member in members:
        if member.name == name or (not member.name and peer_url in member.peer_urls):
            return member
    return None


def check_leave(leaving: Member, members: Sequence[Member], silent: Collection[str]) -> None:
    """Raise Failed when the members that stay would have no healthy majority; silent are the ids of those that do not
    answer. Whether the one that leaves answers makes no difference."""
    name = leaving.name or leaving.peer_urls[0]
    rest = [member for member in members if member.id != leaving.id and not member.learner]
    dead = [member.name for member in rest if member.id in silent]
    if not rest:
        raise Failed(f"{name} is the only member with a vote; without it there is no cluster")
    if len(rest) - len(dead) < len(rest) // 2 + 1:
        raise Failed(
            f"{name} stays: of the {len(rest)} members without it, {', '.join(dead)} does not answer, and "
            f"{len(rest) // 2 + 1} have to. Bring these back first"
        )


def successor(leader: str, members: Sequence[Member], answers: Mapping[str, Status | str]) -> Member:
    """Who leads next when leader (an id) gives up its place: the voter whose log is the longest. Raises Failed when
    nobody else answers."""
    found = [
        (status.raft_index, member.name, member)
        for member in members
        for status in [answers.get(member.id)]
        if isinstance(status, Status) and member.id != leader and not member.learner
    ]
    if not found:
        raise Failed("no other member with a vote answers, so nobody can lead in its place")
    return max(found)[2]


def initial_cluster(wish: Wish, members: Sequence[Member]) -> str:
    """The value of ETCD_INITIAL_CLUSTER: `name=peer-url,...` of all members, this host under its own name."""
    pairs = {url: member.name or wish.name for member in members for url in member.peer_urls}
    pairs[wish.peer_url] = wish.name
    return ",".join(f"{name}={url}" for url, name in sorted(pairs.items(), key=lambda pair: (pair[1], pair[0])))


def environment(state: str, cluster: str, token: str) -> str:
    """The file that etcd reads at its very first start. The unit removes it once the member is ready.

    It lies in the data directory: a member whose data is lost can't start as a first member once more, under the
    identity whose promises it has forgotten.
    """
    return (
        "# Read at the first start of this member only; removed when it has formed or joined the cluster.\n"
        f"ETCD_INITIAL_CLUSTER_STATE={state}\nETCD_INITIAL_CLUSTER={cluster}\nETCD_INITIAL_CLUSTER_TOKEN={token}\n"
    )


def begin(unit: str, path: Path, content: str) -> None:
    """Write the first-start file durably and start the unit.

    The start is not waited for: members of a new cluster wait for each other.
    """
    _durable.write(path, content)
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "start", "--no-block", "--", unit])


def promote(client: Client, wish: Wish, seconds: float, pause: float = 0.5) -> None:
    """Wait until this host, a learner, has caught up, and give it its vote. Raises Failed after seconds."""

    def trouble() -> str:
        own = [member for member in client.members() if wish.peer_url in member.peer_urls]
        if not own or not own[0].learner:
            return ""
        try:
            client.promote(own[0].id)
        except Refused as refusal:  # it trails, or the leader has not heard of it yet
            if refusal.code not in (DEADLINE_EXCEEDED, FAILED_PRECONDITION, UNAVAILABLE):
                raise
            return str(refusal)
        return ""

    reason = until(trouble, seconds, pause)
    if reason:
        raise Failed(
            f"{wish.name} is a learner and has no vote after {seconds:g} s: {reason}. Run again when it caught up; "
            "its journal says what it does (journalctl -u etcd)"
        )


def leave(client: Client, name: str, peer_url: str | None, *, act: bool) -> tuple[bool, str]:
    """Take a member out of the cluster: whether it was one, and who leads in its place (empty: it did not lead).

    Raises Failed when the others would have no healthy majority. With act false nothing is done.
    """
    members = client.members()
    leaving = named(name, peer_url, members)
    if leaving is None:
        return False, ""
    answers = client.statuses(members)
    check_leave(leaving, members, [key for key, answer in answers.items() if not isinstance(answer, Status)])
    heir = ""
    if any(isinstance(answer, Status) and answer.leader == leaving.id for answer in answers.values()):
        to = successor(leaving.id, members, answers)
        heir = to.name
        if act and isinstance(answers[leaving.id], Status):
            client.hand_over(leaving, to)
    if act:
        client.remove(leaving.id)
    return True, heir
