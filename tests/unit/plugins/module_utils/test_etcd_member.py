# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host becomes a member: every standing, and what its first start is told."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Member
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_member import (
    JOINABLE,
    MEMBER,
    UNFORMED,
    Wish,
    entered,
    environment,
    initial_cluster,
    stale,
    standing,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def member(name: str, host: str) -> Member:
    """Return a member at a host, started when it has a name."""
    return Member(f"id-{host}", name, (url(host),), ())


def url(host: str) -> str:
    """Return the peer URL of a host."""
    return f"https://{host}:2380"


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
