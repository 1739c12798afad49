# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes a member of an etcd cluster.

The live cluster is asked; a place in the inventory decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import (
    DEADLINE_EXCEEDED,
    UNAVAILABLE,
    Client,
    Member,
    Refused,
    Unreachable,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

MEMBER = "member"  # has data, and the cluster (if it answers) knows it
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
    """Where the host stands: one of MEMBER, JOINABLE, UNFORMED.

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
    return MEMBER


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
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "start", "--no-block", "--", unit])
