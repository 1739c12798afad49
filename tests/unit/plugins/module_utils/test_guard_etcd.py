# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of etcd: cases of a cluster, and what follows from each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._guard_etcd import State

NAMES = ("a", "b", "c")


def member(name: str, *, learner: bool = False) -> Member:
    return Member(name.upper(), name, (f"https://{name}:2380",), (f"https://{name}:2379",), learner)


def status(name: str, *, leader: str = "A", index: int = 5000) -> Status:
    return Status(f"https://{name}:2379", name.upper(), leader, "3.5.16", 7, index, 1, learner=False)


FINE = State([member(name) for name in NAMES], {name: status(name) for name in NAMES})
SILENT = "no etcd member answered: refused"


def without(*names: str, state: State = FINE) -> State:
    return replace(state, answers={**state.answers, **dict.fromkeys(names, SILENT)})


@pytest.mark.parametrize(
    ("state", "name", "reasons"),
    [
        (FINE, "a", []),
        (FINE, "b", []),
        pytest.param(
            without("c"),
            "b",
            [f"c is down: {SILENT}", "1 healthy of 3 voters would be left, and the quorum is 2"],
            id="another is down",
        ),
        pytest.param(without("c"), "c", [], id="itself is down"),
        pytest.param(without("a", "c"), "c", [], id="itself and another"),
        pytest.param(
            replace(without("b", "c"), error="no leader"), "a", ["etcd can't be read: no leader"], id="quorum is lost"
        ),
        pytest.param(replace(without("b", "c"), error="no leader"), "b", [], id="quorum is lost, itself is down"),
        pytest.param(
            replace(
                FINE, members=[*FINE.members, member("d", learner=True)], answers={**FINE.answers, "d": status("d")}
            ),
            "b",
            ["d is a learner, and not a voter yet"],
            id="a learner",
        ),
        pytest.param(
            replace(FINE, members=[member("a"), member("b"), member("c", learner=True)]),
            "c",
            ["c is a learner"],
            id="itself is a learner",
        ),
        pytest.param(
            replace(FINE, members=[*FINE.members, replace(member("d"), name="")]),
            "b",
            ["(not started) is down: it was never started", "2 healthy of 4 voters would be left, and the quorum is 3"],
            id="a member that was added and never started",
        ),
        pytest.param(replace(FINE, alarms=["NOSPACE on member A"]), "b", ["alarm NOSPACE on member A"], id="an alarm"),
        pytest.param(
            replace(FINE, answers={**FINE.answers, "c": status("c", leader="0")}),
            "b",
            ["c sees no leader", "1 healthy of 3 voters would be left, and the quorum is 2"],
            id="one sees no leader",
        ),
        pytest.param(
            replace(FINE, answers={**FINE.answers, "c": status("c", leader="C")}),
            "b",
            ["members follow different leaders: A, C"],
            id="two leaders",
        ),
        pytest.param(
            replace(FINE, answers={**FINE.answers, "c": status("c", index=3000)}),
            "b",
            ["c trails by 2000 log entries", "1 healthy of 3 voters would be left, and the quorum is 2"],
            id="one trails",
        ),
        pytest.param(State([member("a")], {"a": status("a")}), "a", [], id="a cluster of one"),
        pytest.param(
            State([member("a"), member("b")], {"a": status("a"), "b": status("b")}),
            "b",
            ["1 healthy of 2 voters would be left, and the quorum is 2"],
            id="a cluster of two",
        ),
        pytest.param(
            State([member(name) for name in "abcde"], {**{name: status(name) for name in "abcd"}, "e": SILENT}),
            "b",
            [f"e is down: {SILENT}"],
            id="five, quorum would hold, and still one at a time",
        ),
    ],
)
def test_reasons(state: State, name: str, reasons: list[str]) -> None:
    assert state.reasons(name) == reasons


@pytest.mark.parametrize(
    ("state", "name", "leads", "successor"),
    [
        (FINE, "a", True, "b"),
        (FINE, "b", False, "a"),
        (without("b"), "a", True, "c"),
        (without("b", "c"), "a", True, ""),
        (without("a"), "a", False, "b"),
        (replace(FINE, answers={**FINE.answers, "c": status("c", index=5001)}), "a", True, "c"),
    ],
)
def test_who_leads_and_who_could(state: State, name: str, leads: bool, successor: str) -> None:
    assert (state.leads(name), state.successor(name)) == (leads, successor)


@pytest.mark.parametrize(
    ("state", "lacks"),
    [
        (FINE, []),
        (without("b"), [f"b is down: {SILENT}"]),
        (replace(FINE, error="no leader"), ["no leader"]),
        (State([member("a")], FINE.answers), ["b is not a member of the cluster"]),
        (replace(FINE, answers={**FINE.answers, "b": status("b", leader="0")}), ["b sees no leader"]),
    ],
)
def test_what_a_member_lacks(state: State, lacks: list[str]) -> None:
    assert state.missing("b", FINE) == lacks
