# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members give space back, in which order, and when the alarm may end."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd_maintenance import (
    SMALL,
    Member,
    Refusal,
    order,
    parse,
    still_full,
)

BIG = 10 * SMALL


def member(name: str, **more: object) -> Member:
    """Return a member whose file holds next to nothing; a leads."""
    given = {"id": ord(name), "leader": ord("a"), "size": BIG, "used": SMALL, **more}
    return Member(name, **given)


WASTEFUL = [member("a"), member("b"), member("c")]
TIDY = [member(name, used=BIG) for name in "abc"]


@pytest.mark.parametrize(
    ("members", "alarm", "expected"),
    [
        pytest.param(WASTEFUL, False, ["b", "c", "a"], id="the leader last"),
        (TIDY, False, []),
        pytest.param([member(name, size=SMALL, used=0) for name in "abc"], False, [], id="small"),
        ([TIDY[0], TIDY[1], WASTEFUL[2]], False, ["c"]),
        pytest.param(TIDY, True, ["b", "c", "a"], id="an alarm: all of them, after a compaction"),
        pytest.param([*TIDY[:2], member("c", error="refused", used=BIG)], False, [], id="nothing to do"),
    ],
)
def test_order(members: list[Member], alarm: bool, expected: list[str]) -> None:
    assert [member.endpoint for member in order(members, alarm=alarm)] == expected


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (Member("c", error="connection refused"), r"does not answer, .*: c \(connection refused\)$"),
        (member("c", learner=True), r"is joining, .*: c$"),
    ],
)
def test_no_member_pauses_while_another_one_is_missing(odd: Member, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        order([*WASTEFUL[:2], odd], alarm=False)


def test_the_alarm_ends_when_there_is_room() -> None:
    members = [member("a", size=50, used=40), member("b", size=90, used=88)]
    assert still_full(members, 1000) == []
    assert still_full(members, 100) == ["b holds 88 of 100 bytes"]


def test_a_status_of_etcdctl() -> None:
    status = {"header": {"member_id": 7, "revision": 12}, "leader": 9, "dbSize": 4096, "dbSizeInUse": 1024}
    assert parse("x", status) == Member("x", id=7, leader=9, size=4096, used=1024, revision=12)
