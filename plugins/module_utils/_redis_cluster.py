# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a Redis cluster with Sentinels: who is there, who leads, what is wrong. Deciding is apart from asking.

The primary is what the Sentinels say and the member itself confirms; a place in the inventory decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error, Server, info, pairs, split
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Options of every module that talks to a cluster; the fragment `redis` documents them.
OPTIONS: dict[str, Any] = {
    "members": {"type": "dict", "required": True},
    "sentinels": {"type": "dict", "required": True},
    "cluster": {"type": "str", "required": True},
    "ca": {"type": "path", "required": True},
    "user": {"type": "str", "required": True},
    "passwords": {"type": "list", "elements": "str", "required": True, "no_log": True},
    "topology": {"type": "str", "choices": ["sentinel", "cluster"], "default": "sentinel"},
    "zones": {"type": "dict", "default": {}},
    "replicas": {"type": "int", "default": 1},
}

#: Bytes of the replication stream by which a replica may trail.
BEHIND = 1024 * 1024


@dataclass(frozen=True)
class Access:
    """How members are asked: file of the authorities, user, the passwords that may be the right one, and seconds."""

    ca: str
    user: str
    passwords: Sequence[str] = field(repr=False)
    timeout: float = 5

    def client(self, address: str) -> Client:
        """A client of one member or Sentinel; address is `host:port`."""
        host, port = split(address)
        return Client(Server(host, port, self.ca, timeout=self.timeout), self.user, self.passwords)


@dataclass(frozen=True)
class Member:
    """What a member says of itself. primary: the address that a replica follows. offset: bytes of the replication
    stream that it has. attached: addresses of its replicas that are online. error: why it did not answer."""

    name: str
    address: str
    role: str = ""
    primary: str = ""
    linked: bool = False
    offset: int = 0
    attached: tuple[str, ...] = ()
    run_id: str = ""
    loading: bool = False
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    error: str = ""


@dataclass(frozen=True)
class Sentinel:
    """What a Sentinel says: the primary's address, the epoch of that knowledge, how many other Sentinels and which
    replicas it knows, its quorum, the flags of the primary, and whether enough Sentinels are there (empty: yes)."""

    name: str
    address: str
    primary: str = ""
    epoch: int = 0
    others: int = 0
    replicas: tuple[str, ...] = ()
    quorum: int = 0
    flags: str = ""
    unusable: str = ""
    error: str = ""


@dataclass(frozen=True)
class Reading:
    """One look: all declared members and Sentinels by name."""

    members: Mapping[str, Member]
    sentinels: Mapping[str, Sentinel]

    def named(self, address: str) -> str:
        """The member's name for people; the address when it is nobody's."""
        return next((member.name for member in self.members.values() if member.address == address), address)


def join(host: str, port: Any) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def claimed(reading: Reading) -> str:
    """The address that the Sentinels with the newest knowledge call the primary; empty when none does."""
    seen = [sentinel for sentinel in reading.sentinels.values() if not sentinel.error and sentinel.primary]
    if not seen:
        return ""
    newest = max(sentinel.epoch for sentinel in seen)
    return Counter(sentinel.primary for sentinel in seen if sentinel.epoch == newest).most_common(1)[0][0]


def primary(reading: Reading) -> str:
    """The address of the live primary; empty when there is none at the moment.

    Without a Sentinel the only member that leads is it, or the only one with replicas. Raises Failed when several lead.
    """
    leading = {member.address: member for member in reading.members.values() if member.role == "master"}
    told = claimed(reading)
    if told:
        return told if told in leading else ""
    if len(leading) > 1:
        leading = {address: member for address, member in leading.items() if member.attached}
    if len(leading) > 1:
        names = ", ".join(sorted(reading.named(address) for address in leading))
        raise Failed(f"several members lead, and no Sentinel says which is right: {names}")
    return next(iter(leading), "")


def lag(reading: Reading, member: Member) -> int:
    """Bytes of the replication stream that a member does not have yet."""
    newest = max((other.offset for other in reading.members.values() if other.role == "master"), default=0)
    return max(0, newest - member.offset)


def unfit(reading: Reading, member: Member, leader: str, behind: int = BEHIND) -> str:
    """Why a member is not in service; empty when it is. leader: the primary's address."""
    if member.error:
        return f"{member.name} is down: {member.error}"
    if member.loading:
        return f"{member.name} is still loading its data"
    if member.address == leader:
        return "" if member.role == "master" else f"{member.name} is to lead and does not"
    if member.role == "master":
        return f"{member.name} leads too, and follows nobody"
    if member.primary != leader:
        return f"{member.name} follows {reading.named(member.primary)}, not {reading.named(leader) or 'a primary'}"
    if not member.linked:
        return f"{member.name} has no link to {reading.named(leader)}"
    trailing = lag(reading, member)
    return f"{member.name} trails by {trailing} bytes, and {behind} is the limit" if trailing > behind else ""


def read(members: Mapping[str, str], sentinels: Mapping[str, str], cluster: str, access: Access) -> Reading:
    """Ask all members and all Sentinels, given by name with their addresses."""
    return Reading(
        {name: ask_member(name, address, access) for name, address in members.items()},
        {name: ask_sentinel(name, address, cluster, access) for name, address in sentinels.items()},
    )


def access(given: Mapping[str, Any], timeout: float = 5) -> Access:
    """How the options of a module say that members are asked."""
    return Access(given["ca"], given["user"], given["passwords"], timeout)


def look(given: Mapping[str, Any]) -> Reading:
    """Ask all members and Sentinels that the options of a module name."""
    return read(given["members"], given["sentinels"], given["cluster"], access(given, 3))


def ask_member(name: str, address: str, access: Access) -> Member:
    """Ask one member."""
    try:
        with access.client(address) as client:
            facts = info(client.call("INFO"))
    except Failed as error:
        return Member(name, address, error=str(error))
    return member(name, address, facts)


def member(name: str, address: str, facts: Mapping[str, str]) -> Member:
    """Make a member of what INFO said."""
    role = facts.get("role", "")
    replica = role == "slave"
    attached = []
    for key, value in facts.items():
        if re.fullmatch(r"slave\d+", key):
            said = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
            if said.get("state") == "online":
                attached.append(join(said["ip"], said["port"]))
    return Member(
        name,
        address,
        role=role,
        primary=join(facts.get("master_host", ""), facts.get("master_port", "")) if replica else "",
        linked=facts.get("master_link_status") == "up",
        offset=int(facts.get("slave_repl_offset" if replica else "master_repl_offset", 0)),
        attached=tuple(attached),
        run_id=facts.get("run_id", ""),
        loading=facts.get("loading", "0") != "0",
        facts=facts,
    )


def ask_sentinel(name: str, address: str, cluster: str, access: Access) -> Sentinel:
    """Ask one Sentinel for the cluster."""
    asked = [("SENTINEL", word, cluster) for word in ("MASTER", "REPLICAS", "CKQUORUM")]
    try:
        with access.client(address) as client:
            said, replicas, usable = client.pipeline(asked)
    except Failed as error:
        return Sentinel(name, address, error=str(error))
    if isinstance(said, Error):
        return Sentinel(name, address, error=said.text)
    facts = pairs(said)
    known = [pairs(entry) for entry in replicas] if isinstance(replicas, list) else []
    return Sentinel(
        name,
        address,
        primary=join(facts["ip"], facts["port"]),
        epoch=int(facts.get("config-epoch", 0)),
        others=int(facts.get("num-other-sentinels", 0)),
        replicas=tuple(sorted(join(entry["ip"], entry["port"]) for entry in known)),
        quorum=int(facts.get("quorum", 0)),
        flags=facts.get("flags", ""),
        unusable=usable.text if isinstance(usable, Error) else "",
    )
