# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as wrong with an etcd cluster, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_health import Reading, judge

NAMES = ("a1", "b1", "c1")
EXPECTED = {name: f"https://{name}:2379" for name in NAMES}
MEMBERS = [Member(f"id-{name}", name, (f"https://{name}:2380",), (EXPECTED[name],)) for name in NAMES]
STATUSES = {
    url: Status(
        url, f"id-{name}", leader="id-b1", version="3.5.16", revision=7, raft_index=5000, db_bytes=100, learner=False
    )
    for name, url in EXPECTED.items()
}
HEALTHY = Reading(MEMBERS, STATUSES)
QUOTA = 1000


def answers(**changes: Any) -> dict[str, Status | str]:
    """Return everybody's answer: a status with changes, or the text that is given instead, by member."""
    result: dict[str, Status | str] = {}
    for name, url in EXPECTED.items():
        change = changes.get(name, {})
        result[url] = change if isinstance(change, str) else replace(STATUSES[url], **change)
    return result


@pytest.mark.parametrize(
    ("reading", "problems"),
    [
        pytest.param(HEALTHY, [], id="healthy"),
        pytest.param(
            Reading(error="no etcd member answered: x: refused"),
            ["the cluster can't be read: no etcd member answered: x: refused"],
            id="nobody answers",
        ),
        pytest.param(
            replace(HEALTHY, answers=answers(a1="no etcd member answered: timed out")),
            ["a1 does not answer: no etcd member answered: timed out"],
            id="one is down",
        ),
        pytest.param(
            replace(HEALTHY, members=MEMBERS[1:], answers=answers(a1="refused")),
            ["a1 is not a member of the cluster", "a1 does not answer: refused"],
            id="one was removed",
        ),
        pytest.param(
            replace(HEALTHY, members=[replace(MEMBERS[0], learner=True), *MEMBERS[1:]]),
            ["a1 is still a learner"],
            id="a learner",
        ),
        pytest.param(
            replace(HEALTHY, members=[*MEMBERS, Member("9", "d1", (), ()), Member("8", "", (), ())]),
            ["d1 is a member, and nobody declared it", "(not started) is a member, and nobody declared it"],
            id="strangers",
        ),
        pytest.param(
            replace(HEALTHY, answers=answers(a1={"leader": "0"}, b1={"leader": "0"}, c1={"leader": "0"})),
            ["members see no leader"],
            id="no leader",
        ),
        pytest.param(
            replace(HEALTHY, answers=answers(a1={"leader": "0"})), ["members see no leader"], id="one is cut off"
        ),
        pytest.param(
            replace(HEALTHY, answers=answers(a1={"leader": "id-a1"})),
            ["members follow different leaders: id-a1, id-b1"],
            id="two leaders",
        ),
        pytest.param(replace(HEALTHY, answers=answers(a1={"raft_index": 4000})), [], id="a little behind"),
        pytest.param(
            replace(HEALTHY, answers=answers(a1={"raft_index": 3999})), ["a1 trails by 1001 log entries"], id="behind"
        ),
        pytest.param(replace(HEALTHY, answers=answers(a1={"db_bytes": 800})), [], id="four fifths full"),
        pytest.param(
            replace(HEALTHY, answers=answers(a1={"db_bytes": 801})),
            ["the database of a1 fills 801 of 1000 bytes"],
            id="nearly full",
        ),
        pytest.param(
            replace(HEALTHY, answers=answers(c1={"errors": ("one", "two")})),
            ["c1 reports: one", "c1 reports: two"],
            id="errors",
        ),
        pytest.param(replace(HEALTHY, alarms=["NOSPACE on member 11"]), ["alarm NOSPACE on member 11"], id="an alarm"),
        pytest.param(
            replace(HEALTHY, open_door=True),
            ["a client without a password was let in: authentication is off"],
            id="an open door",
        ),
        pytest.param(
            Reading(MEMBERS, answers(a1="refused", b1={"db_bytes": 999}), ["CORRUPT on member 1"], open_door=True),
            [
                "a1 does not answer: refused",
                "the database of b1 fills 999 of 1000 bytes",
                "alarm CORRUPT on member 1",
                "a client without a password was let in: authentication is off",
            ],
            id="everything at once",
        ),
    ],
)
def test_judge(reading: Reading, problems: list[str]) -> None:
    assert judge(EXPECTED, reading, quota=QUOTA) == problems


def test_the_distance_is_a_choice() -> None:
    reading = replace(HEALTHY, answers=answers(a1={"raft_index": 4989}))
    assert judge(EXPECTED, reading, quota=QUOTA, behind=10) == ["a1 trails by 11 log entries"]
