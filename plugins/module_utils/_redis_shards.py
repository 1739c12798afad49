# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a Redis Cluster (shards, each a primary with replicas), and what it still needs.

Deciding is apart from asking. What is there is asked of the nodes. The declared names and zones decide only what nobody
has decided yet: who begins as a primary, and whom an empty node follows. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error, Word, info, split
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

SLOTS = 16384
#: Fewer primaries can't outvote a lost one (cluster specification, Failure detection).
PRIMARIES = 3

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Peer:
    """What one node knows of another: a line of CLUSTER NODES. primary: the id that it follows."""

    id: str
    address: str
    flags: frozenset[str] = frozenset()
    primary: str = ""
    slots: Ranges = ()

    @property
    def lost(self) -> bool:
        """Whether nothing answers there by this id any more."""
        return bool(self.flags & {"fail", "noaddr"}) and "handshake" not in self.flags


@dataclass(frozen=True)
class Node:
    """A declared member, as it says itself. view: what it knows of all, by id. offset: of the replication stream.

    state: whether it takes the cluster for usable (`ok`). error: why it did not answer.
    """

    name: str
    zone: str
    address: str
    id: str = ""
    view: Mapping[str, Peer] = field(default_factory=dict, repr=False)
    linked: bool = False
    loading: bool = False
    offset: int = 0
    keys: int = 0
    state: str = "ok"
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    error: str = ""

    @property
    def slots(self) -> Ranges:
        """The slots that it serves."""
        return self.view[self.id].slots if self.id in self.view else ()

    @property
    def primary(self) -> str:
        """The id that it follows; empty for one that follows nobody."""
        return self.view[self.id].primary if self.id in self.view else ""


@dataclass(frozen=True)
class Reading:
    """One look: all declared members by name."""

    nodes: Mapping[str, Node]

    @property
    def living(self) -> list[Node]:
        """Those that answer, by name."""
        return [node for _, node in sorted(self.nodes.items()) if not node.error]

    @property
    def leading(self) -> list[Node]:
        """The primaries that answer."""
        return [node for node in self.living if node.slots]

    def named(self, id: str) -> str:  # noqa: A002 - the word of Redis
        """The member's name for people; the beginning of the id when it is nobody's."""
        return next((node.name for node in self.living if node.id == id), id[:8])

    def following(self, node: Node) -> list[Node]:
        """The replicas of a primary."""
        return [other for other in self.living if other.primary == node.id]


@dataclass(frozen=True)
class Step:
    """A command for one member, and in words what it does."""

    node: str
    command: Sequence[Word]
    text: str


def ranges(words: Sequence[str]) -> Ranges:
    """Slots from the words that end a line of CLUSTER NODES; those on the move (`[1-<-id]`) are not there yet."""
    found = []
    for word in words:
        if not word.startswith("["):
            first, _, last = word.partition("-")
            found.append((int(first), int(last or first)))
    return tuple(found)


def peers(text: str) -> dict[str, Peer]:
    """What CLUSTER NODES says, by id."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 8:  # noqa: PLR2004 - the fields before the slots
            flags = frozenset(words[2].split(","))
            primary = "" if words[3] == "-" else words[3]
            found[words[0]] = Peer(words[0], words[1].split("@")[0], flags, primary, ranges(words[8:]))
    return found


def count(slots: Ranges) -> int:
    """How many slots there are in ranges."""
    return sum(last - first + 1 for first, last in slots)


def uncovered(reading: Reading) -> Ranges:
    """The slots that nobody has: none of those that answer, and none that is down as far as they know."""
    taken = bytearray(SLOTS)
    ids = {node.id for node in reading.living}
    claims = [node.slots for node in reading.living]
    claims += [peer.slots for node in reading.living for peer in node.view.values() if peer.id not in ids]
    for first, last in (pair for slots in claims for pair in slots):
        taken[first : last + 1] = b"\1" * (last - first + 1)
    return joined(slot for slot in range(SLOTS) if not taken[slot])


def joined(slots: Iterable[int]) -> Ranges:
    """Single slots, in their order, as ranges."""
    found: list[tuple[int, int]] = []
    for slot in slots:
        found[-1:] = [(found[-1][0], slot)] if found and found[-1][1] == slot - 1 else [*found[-1:], (slot, slot)]
    return tuple(found)


def told(slots: Ranges) -> str:
    """Slots for people."""
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in slots)


def divided(slots: Ranges, parts: int) -> list[Ranges]:
    """Slots in as many parts of the same size, in their order."""
    every = [slot for first, last in slots for slot in range(first, last + 1)]
    ends = [len(every) * part // parts for part in range(parts + 1)]
    return [joined(every[begin:end]) for begin, end in zip(ends, ends[1:])]


def founders(zones: Mapping[str, str], replicas: int, number: int = 0) -> list[str]:
    """Who begins as a primary: as many as have replicas, or that number of them, over all zones in turn.

    zones: of all declared members. Raises Failed when a lost zone would take the cluster with it.
    """
    shards = len(zones) // (1 + replicas)
    wanted = PRIMARIES * (1 + replicas)
    if replicas < 1 or shards < PRIMARIES:
        raise Failed(
            f"redis_topology: cluster wants {wanted} members at least ({PRIMARIES} primaries with {max(replicas, 1)} "
            f"replica each, or a lost host takes its slots with it), and there are {len(zones)}. With fewer members "
            "use redis_topology: sentinel"
        )
    queues = [sorted(name for name in zones if zones[name] == zone) for zone in sorted(set(zones.values()))]
    found = [queue[turn] for turn in range(len(zones)) for queue in queues if turn < len(queue)]
    found = found[: number or shards]
    crowded = [zone for zone, some in Counter(zones[name] for name in found).items() if 2 * some >= len(found)]
    if crowded:
        raise Failed(
            f"redis_topology: cluster wants members in three zones; with {', '.join(sorted(set(zones.values())))} "
            f"a loss of zone {crowded[0]} would take the majority of the primaries"
        )
    return found


def origin(reading: Reading) -> Node | None:
    """The node that the others meet: the one that knows most. None when nobody answers."""
    known = {
        node.name: (sum(count(peer.slots) for peer in node.view.values()), len(node.view)) for node in reading.living
    }
    return max(reading.living, key=lambda node: known[node.name], default=None)


def meetings(reading: Reading) -> list[Step]:
    """Nodes that do not know the cluster yet. Raises Failed for one that belongs to another cluster."""
    first, found = origin(reading), []
    for node in reading.living:
        if first is None or node is first or (node.id in first.view and first.id in node.view):
            continue
        if node.slots and any(peer.slots for peer in first.view.values()):
            raise Failed(
                f"{node.name} serves slots {told(node.slots)} of another cluster than {first.name}; it can't be both. "
                "Empty the one that is wrong (its data directory) and run again"
            )
        words: list[Word] = ["CLUSTER", "MEET", *split(first.address)]
        found.append(Step(node.name, words, f"{node.name} meets the cluster"))
    return found


def partings(reading: Reading) -> list[Step]:
    """Former ids of members that lost their data and came back as somebody else, once their slots are with others."""
    own = {node.address: node.id for node in reading.living}
    found = []
    for node in reading.living:
        for peer in node.view.values():
            former = peer.id != own.get(peer.address, peer.id) or "noaddr" in peer.flags
            if peer.lost and former and not peer.slots and peer.id != node.primary:
                found.append(_forget(node, peer))
    return found


def _forget(node: Node, peer: Peer) -> Step:
    return Step(node.name, ("CLUSTER", "FORGET", peer.id), f"{node.name} forgets {peer.id[:8]}")


def absent(reading: Reading) -> dict[str, Ranges]:
    """Slots of primaries that do not answer, by their addresses as the others know them."""
    ids = {node.id for node in reading.living}
    claims = (peer for node in reading.living for peer in node.view.values())
    held = {slots for node in reading.leading for slots in node.slots}
    found = {
        peer.address: tuple(pair for pair in peer.slots if pair not in held) for peer in claims if peer.id not in ids
    }
    return {address: slots for address, slots in found.items() if slots}


def rescues(reading: Reading) -> list[Step]:
    """Replicas whose primary came back as somebody else. It does not count as failed, so they wait for ever."""
    found: dict[str, Node] = {}
    for node in reading.living:
        leader = node.view.get(node.primary)
        if leader and leader.slots and "noaddr" in leader.flags:
            found[leader.id] = max(node, found.get(leader.id, node), key=lambda one: one.offset)
    return [
        Step(node.name, ("CLUSTER", "FAILOVER", "FORCE"), f"{node.name} leads: its primary has lost its data")
        for node in found.values()
    ]


def shares(reading: Reading, replicas: int) -> list[Step]:
    """Slots that nobody has got yet, in a cluster that is formed. Raises Failed when slots are lost."""
    lost = uncovered(reading)
    if not lost:
        return []
    zones = {name: node.zone for name, node in reading.nodes.items()}
    absent = sorted(set(zones) - {node.name for node in reading.living})
    data = sorted(node.name for node in reading.living if node.keys)
    if absent or data:
        why = f"{', '.join(absent)} gives no answer" if absent else f"{', '.join(data)} has data"
        raise Failed(
            f"nobody has the slots {told(lost)}, and they are not given out anew while {why}: a new cluster is formed "
            "by all its members together, all empty"
        )
    names = founders(zones, replicas) if not reading.leading else [node.name for node in reading.leading]
    if reading.leading and len(names) < len(zones) // (1 + replicas):  # a forming that was cut off
        names = [name for name in founders(zones, replicas) if not reading.nodes[name].slots] or names
    found = []
    for name, share in zip(names, divided(lost, len(names))):
        words: list[Word] = ["CLUSTER", "ADDSLOTSRANGE", *(number for pair in share for number in pair)]
        found.append(Step(name, words, f"{name} gets the slots {told(share)}"))
    return found


def followings(reading: Reading) -> list[Step]:
    """Nodes that have no slots and follow nobody who has some: each takes a primary of another zone, the one that needs
    it most."""
    leading = {node.id: node for node in reading.leading}
    lost = {peer.id for node in reading.living for peer in node.view.values() if peer.slots and peer.id not in leading}
    free = [
        node for node in reading.living if not node.slots and node.primary not in leading and node.primary not in lost
    ]
    pairs = matched(
        {node.name: node.zone for node in free},
        {node.name: node.zone for node in leading.values()},
        {node.name: len(reading.following(node)) for node in leading.values()},
    )
    return [
        Step(name, ("CLUSTER", "REPLICATE", reading.nodes[whom].id), f"{name} follows {whom}")
        for name, whom in sorted(pairs.items())
    ]


def matched(free: Mapping[str, str], leading: Mapping[str, str], have: Mapping[str, int]) -> dict[str, str]:
    """Whom each free node follows: as many primaries as possible get a replica in another zone, then the poorest ones.

    free, leading: zones by name. have: how many replicas each primary has.
    """
    taken: dict[str, str] = {}  # primary: replica

    def assign(replica: str, seen: set[str]) -> bool:
        """An augmenting path of the matching (Kuhn's algorithm)."""
        for whom in sorted(leading):
            if have[whom] or whom in seen or leading[whom] == free[replica]:
                continue
            seen.add(whom)
            if whom not in taken or assign(taken[whom], seen):
                taken[whom] = replica
                return True
        return False

    for replica in sorted(free):
        assign(replica, set())
    found = {replica: whom for whom, replica in taken.items()}
    numbers = Counter(have) + Counter(taken.keys())
    for replica in sorted(set(free) - set(found)):
        if leading:
            found[replica] = min(sorted(leading), key=lambda one: (leading[one] == free[replica], numbers[one]))
            numbers[found[replica]] += 1
    return found


def crowd(reading: Reading) -> str:
    """The zone whose loss would take the majority of the primaries; empty when there is none."""
    number = Counter(node.zone for node in reading.leading)
    return next((zone for zone, some in sorted(number.items()) if 2 * some >= len(reading.leading)), "")


def moves(reading: Reading) -> list[Step]:
    """A primary's place that goes to a replica in another zone, since too many primaries are in one: one at a time, and
    only while all is well."""
    zone, number = crowd(reading), Counter(node.zone for node in reading.leading)
    if not zone or len(reading.living) < len(reading.nodes) or unsettled(reading):
        return []
    able = [
        (number[replica.zone], replica.name, node.name)
        for node in reading.leading
        if node.zone == zone
        for replica in reading.following(node)
        if number[replica.zone] + 1 < number[zone]
    ]
    if not able:
        return []
    _, name, former = min(able)
    return [
        Step(name, ("CLUSTER", "FAILOVER"), f"{name} leads in place of {former}: zone {zone} has too many primaries")
    ]


def steps(reading: Reading, replicas: int) -> list[Step]:
    """What the cluster needs next; empty when it needs nothing. Raises Failed when nobody can give it.

    Each kind waits until those before it are done, and have spread.
    """
    kinds: Sequence[Callable[[], list[Step]]] = (
        lambda: meetings(reading),
        lambda: rescues(reading),
        lambda: partings(reading),
        lambda: [] if strange(reading) else shares(reading, replicas),
        lambda: [] if strange(reading) else followings(reading),
        lambda: moves(reading),
    )
    return next((found for kind in kinds if (found := kind())), [])


def strange(reading: Reading) -> list[str]:
    """Members that do not know each other yet."""
    return [
        f"{node.name} does not know {other.name} yet"
        for node in reading.living
        for other in reading.living
        if other.id not in node.view or node.view[other.id].flags & {"handshake", "noaddr", "fail"}
    ]


def unfit(reading: Reading, node: Node, behind: int = cluster.BEHIND) -> str:
    """Why a member is not in service; empty when it is. behind: bytes of the stream by which a replica may trail."""
    if node.error:
        return f"{node.name} is down: {node.error}"
    if node.loading:
        return f"{node.name} is still loading its data"
    if node.state != "ok":
        return f"{node.name} takes no commands: the state of the cluster is {node.state}"
    if node.slots:
        return ""
    if not node.primary:
        return f"{node.name} has no slots and follows nobody"
    if not node.linked:
        return f"{node.name} has no link to {reading.named(node.primary)}"
    leader = next((other for other in reading.living if other.id == node.primary), None)
    trailing = leader.offset - node.offset if leader else 0
    return f"{node.name} trails by {trailing} bytes, and {behind} is the limit" if trailing > behind else ""


def unsettled(reading: Reading) -> list[str]:
    """What those that answer still wait for."""
    return strange(reading) + [reason for node in reading.living if (reason := unfit(reading, node))]


def judge(reading: Reading, replicas: int) -> list[str]:
    """What is wrong, in words with the names of members; empty when nothing is."""
    problems = [reason for _, node in sorted(reading.nodes.items()) if (reason := unfit(reading, node))]
    problems += strange(reading)
    lost = uncovered(reading) if reading.living else ()
    if lost:
        problems.append(f"nobody has the slots {told(lost)}")
    for node in reading.leading:
        away = [other for other in reading.following(node) if other.zone != node.zone and not unfit(reading, other)]
        if len(away) < min(replicas, 1):
            problems.append(f"{node.name} leads slots {told(node.slots)} and has no replica in another zone")
    zone = crowd(reading)
    if zone:
        problems.append(
            f"zone {zone} has so many of the primaries that its loss would end the cluster; a run of the site moves one"
        )
    declared = {node.address for node in reading.nodes.values()}
    for address, slots in sorted(absent(reading).items()):
        problems.append(f"the slots {told(slots)} are with {address}, which does not answer")
    unknown = {peer.address for node in reading.living for peer in node.view.values() if peer.address not in declared}
    problems += [
        f"{other} is in the cluster, and nobody declared it; make remove ends that" for other in sorted(unknown)
    ]
    return problems


def look(given: Mapping[str, Any]) -> Reading:
    """Ask all members that the options of a module name."""
    return read(given["members"], given["zones"], cluster.access(given, 3))


def read(members: Mapping[str, str], zones: Mapping[str, str], access: Access) -> Reading:
    """Ask all members, given by name with their addresses and zones."""
    return Reading({name: ask(name, zones.get(name, ""), address, access) for name, address in members.items()})


def ask(name: str, zone: str, address: str, access: Access) -> Node:
    """Ask one member."""
    try:
        with access.client(address) as client:
            said = client.pipeline([("CLUSTER", "NODES"), ("INFO",), ("DBSIZE",), ("CLUSTER", "INFO")])
    except Failed as error:
        return Node(name, zone, address, error=str(error))
    wrong = next((reply.text for reply in said if isinstance(reply, Error)), "")
    if wrong and not wrong.startswith("LOADING"):
        return Node(name, zone, address, error=wrong)
    view = peers(said[0]) if not isinstance(said[0], Error) else {}
    facts = info(said[1])
    replica = facts.get("role") == "slave"
    return Node(
        name,
        zone,
        address,
        id=next((peer.id for peer in view.values() if "myself" in peer.flags), ""),
        view=view,
        linked=facts.get("master_link_status") == "up",
        loading=facts.get("loading", "0") != "0",
        offset=int(facts.get("slave_repl_offset" if replica else "master_repl_offset", 0)),
        keys=said[2] if isinstance(said[2], int) else 0,
        state=info(said[3]).get("cluster_state", "") if not isinstance(said[3], Error) else "unknown",
        facts=facts,
    )


def carry_out(reading: Reading, found: Collection[Step], access: Access) -> None:
    """Send the commands, each to its member. Raises Failed."""
    for step in found:
        with access.client(reading.nodes[step.node].address) as client:
            client.call(*step.command)


def forgets(reading: Reading, name: str, address: str) -> list[Step]:
    """What lets the others forget a member, which is stopped. Raises Failed while it has slots, or another is missing.

    address: of the member, which may be declared no more.
    """
    own = reading.nodes.get(name)
    gone = address or (own.address if own else "")
    others = [node for node in reading.nodes.values() if node.name != name]
    unwell = sorted(node.name for node in others if node.error)
    if unwell:
        raise Failed(f"{name} is not forgotten while {', '.join(unwell)} is down: it would tell the others again")
    found = []
    for node in others:
        for peer in node.view.values():
            if peer.address != gone:
                continue
            if peer.slots or node.primary == peer.id:
                raise Failed(
                    f"{name} still leads the slots {told(peer.slots)}; wait until a replica has taken them over. "
                    "Without a replica add a member first, which follows it"
                )
            found.append(_forget(node, peer))
    return found


def probe(reading: Reading, name: str, access: Access) -> list[str]:
    """Write a key of each shard, beginning at a member that does not have it, and read it there and at its replicas;
    what went wrong. name: who asks, for the key's name."""
    start = reading.nodes[name].address
    try:
        with access.client(start) as client:
            keys = _keys(client, name, reading)
    except Failed as error:
        return [str(error)]
    problems = []
    for node in reading.leading:
        if node.name not in keys:
            problems.append(f"none of the keys tried is in a slot of {node.name}")
            continue
        try:
            problems += _written(reading, node, keys[node.name], start, access)
        except Failed as error:
            problems.append(f"a write to {node.name} failed: {error}")
    return problems


def _keys(client: Client, name: str, reading: Reading) -> dict[str, str]:
    """A key of each primary."""
    names = [f"holdfast:verify:{name}:{number}" for number in range(64 * max(1, len(reading.leading)))]
    slots = client.pipeline([("CLUSTER", "KEYSLOT", key) for key in names])
    found: dict[str, str] = {}
    for key, slot in zip(names, slots):
        for node in reading.leading:
            if any(first <= slot <= last for first, last in node.slots):
                found.setdefault(node.name, key)
    return found


def _written(reading: Reading, node: Node, key: str, start: str, access: Access) -> list[str]:
    """Write as a client does, following MOVED, and read at the replicas."""
    address, value = start, f"{key} {node.offset}"
    replicas = reading.following(node)
    for _ in range(3):
        with access.client(address) as client:
            said, reached = client.pipeline([("SET", key, value, "EX", 60), ("WAIT", len(replicas), 5000)])
        if not (isinstance(said, Error) and said.text.startswith("MOVED ")):
            break
        address = said.text.split()[2]
    if isinstance(said, Error):
        return [f"a write to {node.name} was refused: {said.text}"]
    problems = []
    if reached != len(replicas):
        problems.append(f"a write to {node.name} reached {reached} of {len(replicas)} replicas in 5 s")
    for other in [node, *replicas]:
        with access.client(other.address) as client:
            found = client.pipeline([("READONLY",), ("GET", key)])[1]
        if found != value:
            problems.append(f"{other.name} does not have what was written at {node.name}")
    return problems
