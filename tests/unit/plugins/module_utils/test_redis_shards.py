# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards of Redis: readings of a cluster, what it needs next, and who may stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils._guard_redis_shards import State
from ansible_collections.holdfast.platform.plugins.module_utils._redis_shards import Node, Peer, Ranges, Reading
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ZONES = {"a1": "a", "b1": "b", "c1": "c", "a2": "a", "b2": "b", "c2": "c"}
THIRDS: tuple[Ranges, ...] = (((0, 5460),), ((5461, 10921),), ((10922, 16383),))
#: Who leads what, and who follows whom, when all is well.
LEADS: dict[str, Ranges] = dict(zip(("a1", "b1", "c1"), THIRDS, strict=True))
FOLLOWS = {"a2": "b1", "b2": "c1", "c2": "a1"}


def address(name: str) -> str:
    return f"10.0.{ord(name[0]) - 96}.{name[1]}:6379"


def cluster(
    leads: Mapping[str, Ranges] | None = None,
    follows: Mapping[str, str] | None = None,
    *,
    down: tuple[str, ...] = (),
    strangers: tuple[str, ...] = (),
    extra: tuple[Peer, ...] = (),
    **changes: Any,
) -> Reading:
    """A cluster in which all that is given is known to all. down: who does not answer. strangers: whom nobody has met.

    extra: further entries in everybody's view. changes: of all nodes.
    """
    leads = LEADS if leads is None else leads
    follows = FOLLOWS if follows is None else follows
    peers = {
        name: Peer(
            name * 4,
            address(name),
            frozenset({"fail"} if name in down else ()),
            follows[name] * 4 if name in follows else "",
            leads.get(name, ()),
        )
        for name in ZONES
    }
    common = {peer.id: peer for name, peer in peers.items() if name not in strangers} | {
        peer.id: peer for peer in extra
    }
    nodes = {}
    for name, zone in ZONES.items():
        own = peers[name]
        node = Node(name, zone, address(name), own.id, {own.id: own} if name in strangers else common)
        node = replace(node, linked=name in follows, offset=100, **changes)
        nodes[name] = Node(name, zone, address(name), error="no answer") if name in down else node
    return Reading(nodes)


def texts(reading: Reading) -> list[str]:
    return [step.text for step in shards.steps(reading, 1)]


FRESH = cluster({}, {}, strangers=tuple(ZONES), state="fail")
MET = cluster({}, {}, state="fail")
#: Zone a was lost and came back: its replica in c leads, and c has two of three.
CROWDED = cluster({"c2": THIRDS[0], "b1": THIRDS[1], "c1": THIRDS[2]}, {"a1": "c2", "a2": "b1", "b2": "c1"})


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (cluster(), []),
        pytest.param(
            FRESH, [f"{name} meets the cluster" for name in ("a2", "b1", "b2", "c1", "c2")], id="nobody knows"
        ),
        pytest.param(
            MET,
            ["a1 gets the slots 0-5460", "b1 gets the slots 5461-10921", "c1 gets the slots 10922-16383"],
            id="nobody has slots",
        ),
        pytest.param(
            cluster({"b1": THIRDS[1]}, {}, state="fail"),
            ["a1 gets the slots 0-5460", "c1 gets the slots 10922-16383"],
            id="cut off while slots were given out",
        ),
        pytest.param(cluster(follows={}), ["a2 follows b1", "b2 follows c1", "c2 follows a1"], id="nobody follows"),
        pytest.param(cluster(follows={"a2": "b1", "c2": "a1"}), ["b2 follows c1"], id="an empty member follows"),
        pytest.param(
            cluster(strangers=("b2",), follows={"a2": "b1", "c2": "a1"}), ["b2 meets the cluster"], id="one is new"
        ),
        pytest.param(cluster(down=("c2",)), [], id="a replica is down"),
        pytest.param(CROWDED, ["a1 leads in place of c2: zone c has too many primaries"], id="crowded"),
        pytest.param(
            cluster(extra=(Peer("old", ":0", frozenset({"noaddr"})),)),
            [f"{name} forgets old" for name in sorted(ZONES)],
            id="a former self",
        ),
        pytest.param(
            cluster(
                {name: LEADS[name] for name in ("b1", "c1")},
                {**FOLLOWS, "c2": "old"},
                extra=(Peer("old" * 4, ":0", frozenset({"noaddr"}), "", THIRDS[0]),),
            ),
            ["c2 leads: its primary has lost its data"],
            id="a primary came back empty, and so quickly that it is not failed",
        ),
    ],
)
def test_what_comes_next(look: Reading, found: list[str]) -> None:
    assert sorted(texts(look)) == sorted(found)


def test_a_crowded_zone_waits_until_all_is_well() -> None:
    nodes = {**CROWDED.nodes, "b2": replace(CROWDED.nodes["b2"], linked=False)}
    assert shards.steps(Reading(nodes), 1) == []


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        pytest.param(cluster({}, {}, down=("b1",)), "not given out anew while b1 gives no answer", id="one is missing"),
        pytest.param(
            cluster({"a1": THIRDS[0], "b1": THIRDS[1]}, keys=1),
            "nobody has the slots 10922-16383, and they are not given out anew while a1, .* has data",
            id="a lost shard is nobody's",
        ),
    ],
)
def test_slots_are_given_out_once(look: Reading, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        shards.steps(look, 1)


def test_who_belongs_to_another_cluster() -> None:
    with pytest.raises(Failed, match="c1 serves slots 10922-16383 of another cluster than a1"):
        shards.steps(cluster(strangers=("c1",)), 1)


@pytest.mark.parametrize(
    ("zones", "replicas", "reason"),
    [
        ({"a1": "a", "b1": "b", "c1": "c"}, 1, "cluster wants 6 members at least .* and there are 3. .* sentinel"),
        (ZONES, 0, "cluster wants 3 members at least"),
        (
            {name: zone.replace("c", "b") for name, zone in ZONES.items()},
            1,
            "three zones; with a, b a loss of zone a would",
        ),
        (ZONES, 2, "wants 9 members"),
    ],
)
def test_members_that_can_not_form_shards(zones: dict[str, str], replicas: int, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        shards.founders(zones, replicas)


@pytest.mark.parametrize(
    ("look", "name", "reasons", "successor"),
    [
        (cluster(), "a1", [], "c2"),
        (cluster(), "a2", [], ""),
        pytest.param(cluster(down=("c2",)), "a2", ["c2 is down: no answer"], "", id="another one is down"),
        pytest.param(
            cluster(down=("c2",)),
            "a1",
            ["c2 is down: no answer", "a1 leads the slots 0-5460, and no replica could take over"],
            "",
            id="its replica is down",
        ),
        pytest.param(cluster(down=("c2",)), "c2", [], "", id="itself is down"),
        pytest.param(cluster(follows={"a2": "b1"}), "c2", [], "", id="it has no shard yet"),
        pytest.param(cluster(follows={"a2": "b1", "c2": "a1"}), "a2", [], "", id="another one has no shard yet"),
    ],
)
def test_may_stop(look: Reading, name: str, reasons: list[str], successor: str) -> None:
    state = State(look)
    assert (state.reasons(name), state.successor(name)) == (reasons, successor)


@pytest.mark.parametrize(
    ("look", "problems"),
    [
        (cluster(), []),
        (CROWDED, ["zone c has so many of the primaries"]),
        (cluster(follows={**FOLLOWS, "c2": "b1"}), ["a1 leads slots 0-5460 and has no replica in another zone"]),
        (
            cluster(extra=(Peer("x", "10.0.9.9:6379"),)),
            ["10.0.9.9:6379 is in the cluster, and nobody declared it; make remove ends that"],
        ),
        (
            cluster(follows={"b2": "c1", "a2": "b1"}, down=("a1", "c2")),
            ["a1 is down", "c2 is down", "the slots 0-5460 are with 10.0.1.1:6379"],
        ),
    ],
)
def test_what_is_wrong(look: Reading, problems: list[str]) -> None:
    found = shards.judge(look, 1)
    assert len(found) >= len(problems)
    assert all(any(part in one for one in found) for part in problems), found
    assert bool(found) == bool(problems)


def test_who_leads_is_not_forgotten() -> None:
    with pytest.raises(Failed, match="a1 still leads the slots 0-5460"):
        shards.forgets(cluster(), "a1", "")
    followed = cluster({"c2": THIRDS[0], "b1": THIRDS[1], "c1": THIRDS[2]}, {"a2": "b1", "b2": "c1"}, down=("a1",))
    assert {step.node for step in shards.forgets(followed, "a1", "")} == set(ZONES) - {"a1"}
    with pytest.raises(Failed, match="a2 is not forgotten while b2 is down"):
        shards.forgets(cluster(down=("b2",)), "a2", "")


def test_what_cluster_nodes_says() -> None:
    found = shards.peers(
        "07c 10.0.0.1:6379@16379,host myself,master - 0 1426238316232 2 connected 0-5 7 [93-<-e7d]\n"
        "e7d 10.0.0.2:6379@16379 slave,fail 07c 1426238317239 0 2 disconnected\n"
    )
    assert found["07c"] == Peer("07c", "10.0.0.1:6379", frozenset({"myself", "master"}), "", ((0, 5), (7, 7)))
    assert (found["e7d"].primary, found["e7d"].lost) == ("07c", True)
