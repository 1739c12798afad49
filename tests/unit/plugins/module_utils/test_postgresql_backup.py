# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as wrong about backups, and what a run of them came to."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_backup as rules

NOW = 1_800_000_000.0
HOUR = 3600
WISH = rules.Wish(every=6 * HOUR, rpo=300)


def full(hours: float, **changes: Any) -> dict[str, Any]:
    """A full copy that was finished some hours ago."""
    stop = NOW - hours * HOUR
    return {"label": "20270115-080000F", "type": "full", "timestamp": {"start": stop - 60, "stop": stop}, **changes}


def report(stores: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"now": NOW, "stores": stores, "missed": {}, "waiting": 0, "waiting_seconds": 0, **changes}


GOOD = {"backups": [full(9), full(3)]}


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        pytest.param(report({"a": GOOD, "b": GOOD}), [], id="all is well"),
        pytest.param(report({"a": {"backups": [full(7.9)]}}), [], id="late, within the slack"),
        pytest.param(
            report({"a": {"backups": [full(8.5)]}, "b": GOOD}),
            ["the newest copy in store a is 8.5 h old, one is due every 6 h"],
            id="missed",
        ),
        pytest.param(report({"a": {"backups": []}}), ["store a has no copy"], id="never"),
        pytest.param(
            report({"a": {"backups": [full(1, type="incr")]}}), ["store a has no copy"], id="nothing but an increment"
        ),
        pytest.param(
            report({"a": {"error": "unable to connect"}, "b": GOOD}),
            ["store a: unable to connect"],
            id="one store down",
        ),
        pytest.param(
            report({"a": {"backups": [full(1, error=True)]}}),
            ["the newest copy in store a, 20270115-080000F, holds damaged pages"],
            id="damaged pages",
        ),
        pytest.param(
            report({"a": GOOD}, missed={"a": {"since": 0, "file": "000000010000000000000005"}}),
            [
                "store a misses WAL from 000000010000000000000005 on (1970-01-01 00:00:00 UTC); "
                "its next copy makes it whole"
            ],
            id="a gap",
        ),
        pytest.param(report({"a": GOOD}, waiting=3, waiting_seconds=299), [], id="WAL on its way"),
        pytest.param(
            report({"a": GOOD}, waiting=9, waiting_seconds=301),
            ["9 WAL files wait to be archived, the oldest for 301 s"],
            id="WAL stuck",
        ),
    ],
)
def test_judgement(given: dict[str, Any], problems: list[str]) -> None:
    assert rules.judge(WISH, given) == problems


@pytest.mark.parametrize(
    ("stores", "reason"),
    [
        pytest.param({"a": GOOD}, "", id="young"),
        pytest.param({"a": {"error": "down"}, "b": GOOD}, "", id="one store down"),
        pytest.param({"a": {"backups": [full(30)]}, "b": GOOD}, "", id="one store left behind"),
        pytest.param({}, "no store has a sound copy", id="no store"),
        pytest.param({"a": {"error": "down"}}, "no store has a sound copy", id="all down"),
        pytest.param({"a": {"backups": [full(1, error=True)]}}, "no store has a sound copy", id="damaged"),
        pytest.param(
            {"a": {"backups": [full(30), full(9)]}, "b": {"backups": [full(1, error=True), full(2, type="incr")]}},
            "the newest copy of all stores is 9.0 h old, one is due every 6 h",
            id="old",
        ),
    ],
)
def test_a_way_back(stores: dict[str, Any], reason: str) -> None:
    assert rules.way_back(WISH, report(stores)) == reason


@pytest.mark.parametrize(
    ("stores", "awaited"),
    [
        ({"a": GOOD}, False),
        ({"a": GOOD, "b": {"backups": []}}, True),
        ({"a": GOOD, "b": {"error": "down"}}, False),
        ({}, False),
    ],
)
def test_the_first_copy_of_a_new_cluster_is_awaited(stores: dict[str, Any], awaited: bool) -> None:
    assert rules.first_awaited(report(stores)) is awaited


def test_figures_of_a_run_that_one_store_missed() -> None:
    copy = {"label": "20270115-080000F", "seconds": 4.25, "bytes": 1000, "stored_bytes": 100}
    assert rules.figures({"stores": {"a": copy, "b": {"error": "down"}}}) == {
        "label": "20270115-080000F",
        "seconds": 4.2,
        "bytes": 1000,
        "stored_bytes": 100,
        "repositories": "a",
        "failed": "b",
    }
