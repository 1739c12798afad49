# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shards there are to copy, and when a copy of them would not be whole."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_snapshot as rules

THIRDS = ([0, 5460], [5461, 10921], [10922, 16383])


def node(number: int, role: str, health: str = "online") -> dict[str, Any]:
    return {"id": f"{number}" * 40, "tls-port": 6379, "ip": f"10.0.0.{number}", "role": role, "health": health}


def said(*shards: tuple[list[int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What CLUSTER SHARDS says."""
    return [{"slots": slots, "nodes": nodes} for slots, nodes in shards]


def whole() -> list[dict[str, Any]]:
    return said(*((list(slots), [node(number + 3, "replica"), node(number, "master")])
                  for number, slots in enumerate(THIRDS, 1)))  # fmt: skip


def test_shards_are_in_the_order_of_their_slots_with_who_leads_and_who_follows() -> None:
    found = rules.shards(reversed(whole()))
    assert [shard["slots"] for shard in found] == [[tuple(pair)] for pair in THIRDS]
    assert [shard["primary"] for shard in found] == ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"]
    assert [shard["replicas"] for shard in found] == [["10.0.0.4:6379"], ["10.0.0.5:6379"], ["10.0.0.6:6379"]]


def test_a_shard_of_several_ranges_and_one_without_slots() -> None:
    shards = [*said(([], [node(7, "master")])), *whole()]
    shards[1]["slots"], shards[2]["slots"] = [0, 99, 200, 5460], [100, 199, 5461, 10921]
    assert [shard["slots"] for shard in rules.shards(shards)] == [
        [(0, 99), (200, 5460)], [(100, 199), (5461, 10921)], [(10922, 16383)],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("health", "count"),
    [({"master": "fail"}, "5461-10921"), ({"master": "loading"}, "5461-10921")],
)
def test_slots_without_a_primary_that_answers_are_named(health: dict[str, str], count: str) -> None:
    shards = whole()
    shards[1]["nodes"] = [node(5, "replica"), node(2, "master", health["master"])]
    with pytest.raises(SystemExit, match=f"no primary that answers has the slots {count}"):
        rules.shards(shards)


def test_a_replica_that_is_down_is_not_asked() -> None:
    shards = whole()
    shards[0]["nodes"][0]["health"] = "fail"
    assert rules.shards(shards)[0]["replicas"] == []


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        (THIRDS, ""),
        (reversed(THIRDS), ""),
        ([], "no primary that answers has the slots 0-16383"),
        (THIRDS[1:], "no primary that answers has the slots 0-5460"),
        (THIRDS[:2], "no primary that answers has the slots 10922-16383"),
        ([*THIRDS, (7, 7)], "slot 7 is there twice"),
    ],
)
def test_what_is_wrong_with_ranges(pairs: Any, problem: str) -> None:
    assert rules.gap(list(pairs)) == problem


def test_an_address_of_ip_6() -> None:
    assert rules.where({"ip": "fd00::1", "port": 6379}) == "[fd00::1]:6379"
    assert rules.member("[fd00::1]:6379")[1:] == ["-h", "fd00::1", "-p", "6379"]


@pytest.mark.parametrize(
    ("facts", "source"),
    [
        ({"master_link_status": "up", "slave_repl_offset": "100"}, "replica:1"),
        ({"master_link_status": "up", "slave_repl_offset": "99"}, "primary:1"),
        ({"master_link_status": "down", "slave_repl_offset": "100"}, "primary:1"),
    ],
)
def test_a_replica_is_copied_when_it_has_all(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], source: str
) -> None:
    monkeypatch.setattr(rules, "SYNC", 0.3)
    monkeypatch.setattr(
        rules, "replication", lambda address: facts if address == "replica:1" else {"master_repl_offset": "100"}
    )
    assert rules.source({"primary": "primary:1", "replicas": ["replica:1"]}) == source
