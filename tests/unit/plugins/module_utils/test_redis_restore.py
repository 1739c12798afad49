# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who begins as what when shards are brought back, and the file that tells them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ZONES = {"a1": "a", "b1": "b", "c1": "c", "a2": "a", "b2": "b", "c2": "c"}
ADDRESSES = {name: f"10.0.{ord(name[0]) - 96}.{name[1]}:6379" for name in ZONES}


def copied(number: int = 3) -> dict[str, Any]:
    """What a manifest says of a copy of so many shards, as JSON has it."""
    parts = shards.divided(((0, shards.SLOTS - 1),), number)
    return {"shards": [{"slots": [list(pair) for pair in part], "file": f"{part[0][0]}.rdb"} for part in parts]}


def more(number: int) -> dict[str, str]:
    """The zones of so many members."""
    return {f"{'abc'[turn % 3]}{turn // 3 + 1}": "abc"[turn % 3] for turn in range(number)}


def test_every_shard_is_led_and_has_a_replica_in_another_zone() -> None:
    places = rules.layout(copied(), ZONES, 1, "t")
    leading = {name: place for name, place in places.items() if place.slots}
    assert sorted(ZONES[name] for name in leading) == ["a", "b", "c"]
    assert sorted(place.file for place in leading.values()) == ["0.rdb", "10922.rdb", "5461.rdb"]
    assert sum(shards.count(place.slots) for place in leading.values()) == shards.SLOTS
    followers = {name: place.primary for name, place in places.items() if not place.slots}
    assert sorted(followers.values()) == sorted(leading)
    assert all(ZONES[name] != ZONES[primary] for name, primary in followers.items())
    assert all(places[name].shard == places[primary].shard for name, primary in followers.items())
    assert len({place.shard for place in places.values()}) == 3


def test_the_same_restore_plans_the_same_and_another_one_makes_another_cluster() -> None:
    assert rules.layout(copied(), ZONES, 1, "t") == rules.layout(copied(), ZONES, 1, "t")
    one, other = (rules.layout(copied(), ZONES, 1, token) for token in "tu")
    assert not {place.id for place in one.values()} & {place.id for place in other.values()}


@pytest.mark.parametrize(("number", "members"), [(3, 6), (3, 8), (3, 9), (5, 10)])
def test_members_beyond_what_the_copy_wants_follow(number: int, members: int) -> None:
    places = rules.layout(copied(number), more(members), 1, "t")
    following = Counter(place.primary for place in places.values() if place.primary)
    assert sum(1 for place in places.values() if place.slots) == number == len(following)
    assert sum(following.values()) == members - number


@pytest.mark.parametrize(
    ("figures", "zones", "problem"),
    [
        ({"keys": 1}, ZONES, "this copy is of one primary with Sentinels"),
        ({"shards": copied()["shards"][1:]}, ZONES, "this copy is not whole: .* the slots 0-5460"),
        (
            copied(4),
            ZONES,
            r"this copy has 4 shards, which want 8 members \(redis_cluster_replicas: 1\), and there are 6",
        ),
        (copied(), dict.fromkeys(ZONES, "a"), "wants members in three zones"),
    ],
)
def test_what_these_members_cannot_take(figures: dict[str, Any], zones: dict[str, str], problem: str) -> None:
    with pytest.raises(Failed, match=problem):
        rules.layout(figures, zones, 1, "t")


def test_a_member_begins_with_all_others_known() -> None:
    places = rules.layout(copied(), ZONES, 1, "t")
    text = rules.nodes_file(places, "a2", ADDRESSES, 16379)
    view = shards.peers(text)
    assert {peer.address for peer in view.values()} == set(ADDRESSES.values())
    assert [peer.id for peer in view.values() if "myself" in peer.flags] == [places["a2"].id]
    assert sum(shards.count(peer.slots) for peer in view.values()) == shards.SLOTS
    assert view[places["a2"].id].primary == places[places["a2"].primary].id
    assert text.endswith("vars currentEpoch 3 lastVoteEpoch 0\n")


@pytest.mark.parametrize(
    ("said", "knows"),
    [
        ("Redis server v=8.0.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=b843bbd074c0e1da", True),
        ("Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64 build=1", True),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", False),
    ],
)
def test_older_versions_know_no_ids_of_shards(said: str, knows: bool) -> None:  # noqa: FBT001 - a case of the table
    assert rules.knows_shards(said) is knows
    text = rules.nodes_file(rules.layout(copied(), ZONES, 1, "t"), "a2", ADDRESSES, 16379, with_shards=knows)
    assert ("shard-id=" in text) is knows


def plan(tmp_path: Path) -> rules.Plan:
    plan = rules.Plan(tmp_path / "data", "10.0.1.1:6379", "10.0.1.1:6379", "t")
    plan.data.mkdir()
    (plan.data / "users.acl").write_text("today")
    return plan


def test_a_swap_goes_on_and_keeps_the_old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "run", lambda _: None)
    found = plan(tmp_path)
    rules.prepare(found, None, "redis", "nodes")
    for _ in range(2):
        rules.swap(found)
    assert (found.data / "nodes.conf").read_text() == "nodes"
    assert not (found.aside / "nodes.conf").exists()
    assert [(place / "users.acl").read_text() for place in (found.data, found.aside)] == ["today", "today"]


def test_todays_users_outlive_a_swap_that_was_cut_off_in_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "run", lambda _: None)
    found = plan(tmp_path)
    rules.prepare(found, None, "redis")
    found.data.rename(found.aside)
    rules.prepare(found, None, "redis")
    rules.swap(found)
    assert (found.data / "users.acl").read_text() == "today"
