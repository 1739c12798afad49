# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes a member: every standing, and what its first start is told."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_member import (
    JOINABLE,
    LEARNER,
    MEMBER,
    UNFORMED,
    Wish,
    check_formed,
    check_join,
    check_leave,
    entered,
    environment,
    initial_cluster,
    named,
    stale,
    standing,
    successor,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def member(name: str, host: str) -> Member:
    """Return a member at a host, started when it has a name."""
    return Member(f"id-{host}", name, (url(host),), ())


def url(host: str) -> str:
    """Return the peer URL of a host."""
    return f"https://{host}:2380"


def learner(name: str, host: str) -> Member:
    """Return a member that has no vote yet."""
    return Member(f"id-{host}", name, (url(host),), (), learner=True)


def status(host: str, raft_index: int) -> Status:
    """Return what a member says that follows a1."""
    return Status(url(host), f"id-{host}", "id-a1", "3.5.16", 1, raft_index, 1, False)


WISH = Wish("a1", url("a1"))
OTHERS = [member("b1", "b1"), member("c1", "c1")]
LIVE = [member("a1", "a1"), *OTHERS]


@pytest.mark.parametrize(
    ("has_data", "forming", "live", "expected"),
    [
        pytest.param(False, False, None, UNFORMED, id="fresh host, nobody answers"),
        pytest.param(False, True, None, UNFORMED, id="killed before etcd wrote anything"),
        pytest.param(True, True, None, UNFORMED, id="its formation was cut off"),
        pytest.param(True, False, None, MEMBER, id="a member in a zone that is cut off"),
        pytest.param(True, False, LIVE, MEMBER, id="a member"),
        pytest.param(True, False, [learner("a1", "a1"), *OTHERS], LEARNER, id="its promotion was cut off"),
        pytest.param(True, True, LIVE, MEMBER, id="formed, and the first start not tidied up yet"),
        pytest.param(False, False, OTHERS, JOINABLE, id="a new host"),
        pytest.param(False, False, LIVE, JOINABLE, id="its data are lost"),
        pytest.param(False, True, [member("", "a1"), *OTHERS], JOINABLE, id="its join was cut off"),
        pytest.param(True, True, [member("", "a1"), *OTHERS], MEMBER, id="added, and its start under way"),
        pytest.param(False, False, [], JOINABLE, id="a cluster that names nobody"),
    ],
)
def test_standing(has_data: bool, forming: bool, live: list[Member] | None, expected: str) -> None:
    assert standing(WISH, has_data=has_data, forming=forming, live=live) == expected


@pytest.mark.parametrize(
    ("live", "names"),
    [
        (OTHERS, "b1, c1"),
        ([*OTHERS, member("", "d1")], r"b1, c1, \(not started\)"),
        pytest.param([member("a1", "elsewhere")], "a1", id="the name alone says nothing"),
    ],
)
@pytest.mark.parametrize("forming", [True, False])
def test_data_of_a_cluster_that_removed_the_host(live: list[Member], names: str, forming: bool) -> None:
    with pytest.raises(Failed, match=rf"^a1 has the data .* \(members: {names}\)\. .* move its data directory away"):
        standing(WISH, has_data=True, forming=forming, live=live)


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ([], None),
        (OTHERS, None),
        (LIVE, "id-a1"),
        pytest.param([member("", "a1"), *OTHERS], None, id="added, not started: nothing was left behind"),
        pytest.param([*OTHERS, member("a1", "old")], "id-old", id="the same name at another address"),
        pytest.param([*OTHERS, member("old", "a1")], "id-a1", id="another name at the same address"),
    ],
)
def test_stale(live: list[Member], expected: str | None) -> None:
    found = stale(WISH, live)
    assert (found and found.id) == expected


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ([], False),
        (OTHERS, False),
        (LIVE, False),
        ([member("", "a1"), *OTHERS], True),
        pytest.param([member("", "d1"), *OTHERS], False, id="waits for another host"),
    ],
)
def test_entered(live: list[Member], expected: bool) -> None:
    assert entered(WISH, live) is expected


@pytest.mark.parametrize(
    ("members", "cluster"),
    [
        ([], "a1=https://a1:2380"),
        ([member("", "a1"), *OTHERS], "a1=https://a1:2380,b1=https://b1:2380,c1=https://c1:2380"),
        ([*reversed(OTHERS)], "a1=https://a1:2380,b1=https://b1:2380,c1=https://c1:2380"),
        pytest.param([member("x", "a1")], "a1=https://a1:2380", id="this host under its own name"),
        pytest.param(
            [Member("1", "b1", (url("b1"), url("b1b")), ())],
            "a1=https://a1:2380,b1=https://b1:2380,b1=https://b1b:2380",
            id="two addresses",
        ),
    ],
)
def test_initial_cluster(members: list[Member], cluster: str) -> None:
    assert initial_cluster(WISH, members) == cluster


def test_environment() -> None:
    comment, *lines = environment("existing", "a1=https://a1:2380", "north").splitlines()
    assert comment.startswith("# ")
    assert lines == [
        "ETCD_INITIAL_CLUSTER_STATE=existing",
        "ETCD_INITIAL_CLUSTER=a1=https://a1:2380",
        "ETCD_INITIAL_CLUSTER_TOKEN=north",
    ]


@pytest.mark.parametrize(
    ("live", "silent", "refusal"),
    [
        ([], [], None),
        (OTHERS, [], None),
        pytest.param(LIVE, ["id-a1"], None, id="its own entry, left behind, does not answer"),
        pytest.param([member("", "a1"), *OTHERS], ["id-a1"], None, id="added, not started"),
        pytest.param([learner("", "a1"), *OTHERS], ["id-a1"], None, id="added as a learner, not started"),
        pytest.param(
            [*OTHERS, member("d1", "d1")],
            ["id-d1"],
            r"^a1 does not join: d1 does not answer, .* need 3 of 4 instead of 2 of 3\. .* make remove HOST=d1$",
            id="it would replace a dead member that is still in the cluster",
        ),
        ([*OTHERS, learner("", "d1")], [], r"^a1 does not join: https://d1:2380 is joining, one at a time"),
    ],
)
def test_check_join(live: list[Member], silent: list[str], refusal: str | None) -> None:
    if refusal is None:
        check_join(WISH, live, silent)
    else:
        with pytest.raises(Failed, match=refusal):
            check_join(WISH, live, silent)


@pytest.mark.parametrize(
    ("members", "silent", "refusal"),
    [
        (LIVE, [], None),
        pytest.param(LIVE, ["id-a1"], None, id="dead: the others are a majority of themselves"),
        (LIVE, ["id-b1"], r"^a1 stays: of the 2 members without it, b1 does not answer, and 2 have to"),
        ([*LIVE, member("d1", "d1"), member("e1", "e1")], ["id-a1", "id-e1"], None),
        ([member("a1", "a1"), learner("b1", "b1")], [], "^a1 is the only member with a vote"),
        pytest.param([learner("a1", "a1"), *OTHERS], ["id-a1"], None, id="a learner that never came up"),
    ],
)
def test_check_leave(members: list[Member], silent: list[str], refusal: str | None) -> None:
    leaving = members[0]
    if refusal is None:
        check_leave(leaving, members, silent)
    else:
        with pytest.raises(Failed, match=refusal):
            check_leave(leaving, members, silent)


@pytest.mark.parametrize(
    ("name", "host", "found"),
    [("a1", "a1", "id-a1"), ("a1", "z9", "id-a1"), ("d1", "d1", "id-d1"), ("e1", "b1", None), ("e1", "e1", None)],
    ids=["by name", "its address changed", "added, never started", "an address that another one has", "nobody"],
)
def test_who_is_meant(name: str, host: str, found: str | None) -> None:
    members = [*LIVE, member("", "d1")]
    meant = named(name, member(name, host).peer_urls[0], members)
    assert (meant and meant.id) == found


def test_the_successor_has_a_vote_and_the_longest_log() -> None:
    members = [*LIVE, learner("d1", "d1")]
    answers = {f"id-{host}": status(host, index) for host, index in [("a1", 9), ("b1", 7), ("c1", 8), ("d1", 9)]}
    assert successor("id-a1", members, answers).name == "c1"
    with pytest.raises(Failed, match=r"^no other member"):
        successor("id-a1", members, {"id-a1": answers["id-a1"], "id-b1": "refused", "id-d1": answers["id-d1"]})


def test_a_cluster_that_others_have_formed_meanwhile_has_to_count_the_host_in() -> None:
    check_formed(WISH, [*OTHERS, member("a1", "a1")])
    with pytest.raises(Failed, match=r"one without it now \(members: b1, c1\); run again"):
        check_formed(WISH, OTHERS)
