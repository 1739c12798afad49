# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis cluster: readings of it, and what follows for the guard, for a host that becomes a member, for a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_health as health
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as seed
from ansible_collections.holdfast.platform.plugins.module_utils._guard_redis import State
from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Member, Reading, Sentinel
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

HOSTS = {"a": "10.0.0.1:6379", "b": "10.0.0.2:6379", "c": "10.0.0.3:6379"}
SILENT = "redis does not answer"


def member(name: str, **changes: Any) -> Member:
    """A member as it is in service; a leads."""
    if name == "a":
        one = Member(name, HOSTS[name], role="master", offset=1000, attached=(HOSTS["b"], HOSTS["c"]), run_id="aaa")
    else:
        one = Member(name, HOSTS[name], "slave", HOSTS["a"], linked=True, offset=1000, run_id=f"{name * 3}")
    return replace(one, **changes)


def sentinel(name: str, **changes: Any) -> Sentinel:
    one = Sentinel(
        name,
        f"{name}:26379",
        HOSTS["a"],
        epoch=3,
        others=2,
        replicas=(HOSTS["b"], HOSTS["c"]),
        quorum=2,
        flags="master",
    )
    return replace(one, **changes)


def reading(members: Mapping[str, Member] | None = None, sentinels: Mapping[str, Sentinel] | None = None) -> Reading:
    """A reading in which some members and Sentinels are others than usual."""
    return Reading(
        {name: member(name) for name in HOSTS} | dict(members or {}),
        {name: sentinel(name) for name in HOSTS} | dict(sentinels or {}),
    )


def down(name: str) -> dict[str, Member]:
    return {name: Member(name, HOSTS[name], error=SILENT)}


def mute(*names: str) -> dict[str, Sentinel]:
    return {name: Sentinel(name, f"{name}:26379", error=SILENT) for name in names}


FINE = reading()
MOVED = {name: sentinel(name, primary=HOSTS["b"], epoch=4) for name in ("b", "c")}
NOBODY = reading({name: Member(name, HOSTS[name], error=SILENT) for name in HOSTS}, mute("a", "b", "c"))
TWO = {"b": member("b", role="master", primary="")}


@pytest.mark.parametrize(
    ("look", "leader"),
    [
        (FINE, "a"),
        (NOBODY, ""),
        pytest.param(reading(down("a")), "", id="the one that they name is down"),
        pytest.param(reading(TWO), "a", id="two lead, and the Sentinels know which"),
        pytest.param(reading(TWO, MOVED), "b", id="the newest knowledge counts"),
        pytest.param(reading(None, mute("a", "b", "c")), "a", id="no Sentinel, one leads"),
        pytest.param(reading(TWO, mute("a", "b", "c")), "a", id="no Sentinel, two lead, one has replicas"),
    ],
)
def test_the_primary_is_who_they_say_and_who_confirms_it(look: Reading, leader: str) -> None:
    assert look.named(cluster.primary(look)) == leader


def test_two_primaries_without_a_sentinel_are_nobodys_guess() -> None:
    two = {"b": member("b", role="master", primary="", attached=(HOSTS["c"],))}
    with pytest.raises(Failed, match="several members lead, and no Sentinel says which is right: a, b"):
        cluster.primary(reading(two, mute("a", "b", "c")))


@pytest.mark.parametrize(
    ("look", "name", "reasons"),
    [
        (FINE, "a", []),
        (FINE, "b", []),
        pytest.param(reading(down("c")), "c", [], id="itself is down"),
        pytest.param(reading(down("c")), "b", [f"c is down: {SILENT}"], id="another is down"),
        pytest.param(reading(down("c")), "a", [f"c is down: {SILENT}"], id="another is down, and it leads"),
        pytest.param(
            reading({"c": member("c", offset=0)}),
            "b",
            [],
            id="within the limit",
        ),
        pytest.param(
            reading({"a": member("a", offset=9_000_000)}),
            "b",
            ["c trails by 8999000 bytes, and 1048576 is the limit"],
            id="a replica trails",
        ),
        pytest.param(reading({"c": member("c", linked=False)}), "b", ["c has no link to a"], id="no link"),
        pytest.param(
            reading({"c": member("c", primary="10.0.0.9:6379")}),
            "b",
            ["c follows 10.0.0.9:6379, not a"],
            id="it follows another one",
        ),
        pytest.param(reading({"c": member("c", loading=True)}), "b", ["c is still loading its data"], id="it loads"),
        pytest.param(
            reading(None, mute("c")),
            "b",
            [
                f"the Sentinel of c is down: {SILENT}",
                "1 of 3 Sentinels would be left, and 2 have to agree on a primary",
            ],
            id="a Sentinel is down",
        ),
        pytest.param(reading(None, mute("b")), "b", [], id="its own Sentinel is down"),
        pytest.param(
            reading(None, {"c": sentinel("c", flags="master,failover_in_progress")}),
            "b",
            ["a failover is under way", "1 of 3 Sentinels would be left, and 2 have to agree on a primary"],
            id="a failover",
        ),
        pytest.param(
            reading({name: member(name, linked=False) for name in "bc"}),
            "a",
            ["b has no link to a", "c has no link to a", "a leads, and no replica could take over"],
            id="nobody to take over",
        ),
        pytest.param(
            reading(down("a"), MOVED),
            "c",
            [
                "no member is the one that leads",
                f"a is down: {SILENT}",
                "b follows a, not a primary",
                "the Sentinel of a calls a the primary",
                "1 of 3 Sentinels would be left, and 2 have to agree on a primary",
            ],
            id="in the middle of a failover",
        ),
    ],
)
def test_may_stop(look: Reading, name: str, reasons: list[str]) -> None:
    assert State(look).reasons(name) == reasons


def test_the_replica_that_sentinels_would_take_is_named() -> None:
    assert State(FINE).successor("a") == "b"
    assert State(reading({"b": member("b", linked=False)})).successor("a") == "c"
    assert State(FINE).leads("a")
    assert not State(FINE).leads("b")


def test_a_cluster_of_one_may_stop() -> None:
    alone = Reading({"a": member("a", attached=())}, {"a": sentinel("a", others=0)})
    assert State(alone).reasons("a") == []


@pytest.mark.parametrize(
    ("look", "has_data", "standing"),
    [
        (FINE, True, seed.MEMBER),
        (NOBODY, True, seed.MEMBER),
        (FINE, False, seed.JOINABLE),
        (NOBODY, False, seed.UNFORMED),
    ],
)
def test_standing(look: Reading, has_data: bool, standing: str) -> None:
    assert seed.standing(look, "c", has_data=has_data) == standing


def test_an_empty_host_waits_until_somebody_leads() -> None:
    with pytest.raises(Failed, match=r"c is empty, b answers, and there is no primary to follow.*say: a"):
        seed.standing(reading(down("a") | down("c")), "c", has_data=False)


WATCH = seed.Watch("lab", "c", 2, 5000, 30000, "sentinel", "secret")
PLACES = {"server": Path("/s"), "sentinel": Path("/w")}
TEXTS = {"server": "user x\n", "sentinel": "user y\n"}


def seeds(where: str, look: Reading, primary: str = "", **states: str) -> dict[Path, str]:
    known = {"server": "down", "sentinel": "down"} | states
    return seed.seeds(where, look, own=HOSTS["c"], watch=WATCH, **PLACES, texts=TEXTS, states=known, primary=primary)


def test_what_a_host_begins_with() -> None:
    assert seeds(seed.UNFORMED, NOBODY) == {}
    formed = seeds(seed.UNFORMED, NOBODY, primary=HOSTS["a"])
    assert formed == seeds(seed.JOINABLE, FINE)
    assert formed[Path("/s/server.conf")].endswith("\nreplicaof 10.0.0.1 6379\n")
    assert "sentinel monitor lab 10.0.0.1 6379 2\n" in formed[Path("/w/sentinel.conf")]
    assert formed[Path("/s/users.acl")] == "user x\n"
    assert Path("/s/first-start") in formed
    first = seeds(seed.UNFORMED, NOBODY, primary=HOSTS["c"])
    assert "replicaof" not in first[Path("/s/server.conf")]


def test_a_running_members_files_are_its_own(tmp_path: Path) -> None:
    for name in ("server.conf", "sentinel.conf", "users.acl"):
        (tmp_path / name).touch()
    places = {"server": tmp_path, "sentinel": tmp_path}
    given: dict[str, Any] = {"own": HOSTS["c"], "watch": WATCH, **places, "texts": TEXTS}
    running = {"server": "yes", "sentinel": "yes"}
    assert seed.seeds(seed.MEMBER, FINE, **given, states=running) == {}
    assert seed.seeds(seed.MEMBER, NOBODY, **given, states=running) == {}
    stale = seed.seeds(seed.MEMBER, FINE, **given, states=running | {"server": "no"})
    assert stale == {tmp_path / "users.acl": "user x\n"}
    stopped = seed.seeds(seed.MEMBER, FINE, **given, states=running | {"server": "down"})
    assert stopped[tmp_path / "server.conf"].endswith("replicaof 10.0.0.1 6379\n")
    assert sorted(path.name for path in stopped) == ["server.conf", "users.acl"]


def test_a_sentinel_comes_back_as_who_it_was() -> None:
    assert WATCH.identity == replace(WATCH, quorum=3, password="other").identity
    assert WATCH.identity != replace(WATCH, name="b").identity
    assert len(WATCH.identity) == 40


def test_what_a_sentinel_does_not_tell_is_read_from_its_file() -> None:
    text = 'sentinel auth-user lab sentinel\nsentinel auth-pass lab "old"\nsentinel sentinel-pass old\nport 0\n'
    text += "sentinel auth-pass other foreign\n"
    assert seed.kept(text, WATCH) == {
        "auth-user": "sentinel",
        "auth-pass": "old",
        "sentinel-user": "",
        "sentinel-pass": "old",
    }


@pytest.mark.parametrize(
    ("look", "problems"),
    [
        (FINE, []),
        pytest.param(reading(down("c")), [f"c is down: {SILENT}"], id="a member is down"),
        pytest.param(
            reading(None, {"c": sentinel("c", others=3)}),
            [
                "the Sentinel of c knows 3 others, and 2 are declared; "
                "one that is gone for good is forgotten by make remove"
            ],
            id="one too many",
        ),
        pytest.param(
            reading(None, {"c": sentinel("c", unusable="NOQUORUM 1 usable Sentinels")}),
            ["the Sentinel of c could not let another member lead: NOQUORUM 1 usable Sentinels"],
            id="no quorum",
        ),
        pytest.param(
            reading({"a": member("a", attached=(*member("a").attached, "10.0.0.9:6379"))}),
            ["10.0.0.9:6379 follows a, and nobody declared it"],
            id="a strange replica",
        ),
        pytest.param(
            reading({"b": member("b", facts={"aof_last_write_status": "err"})}),
            ["b could not write its append-only file: err"],
            id="a full disk",
        ),
    ],
)
def test_what_is_wrong(look: Reading, problems: list[str]) -> None:
    assert health.judge(look) == problems


def test_info_makes_a_member() -> None:
    facts = {
        "role": "master",
        "master_repl_offset": "77",
        "run_id": "f00",
        "slave0": "ip=10.0.0.2,port=6379,state=online,offset=77,lag=0",
        "slave1": "ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0",
    }
    found = cluster.member("a", HOSTS["a"], facts)
    assert (found.role, found.offset, found.attached, found.primary) == ("master", 77, (HOSTS["b"],), "")
    follows = {"role": "slave", "master_host": "fd00::1", "master_port": "6379", "slave_repl_offset": "7"}
    assert cluster.member("b", HOSTS["b"], follows).primary == "[fd00::1]:6379"
