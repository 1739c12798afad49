# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup, which repository, which target."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21 14:03:00+01:00", "2026-11-21T13:03:00+00:00"),
        ("2026-11-21T13:03:00Z", "2026-11-21T13:03:00+00:00"),
        ("2026-11-21 13:03 UTC", "2026-11-21T13:03:00+00:00"),
        ("2026-11-21 13:03:00.25-0230", "2026-11-21T15:33:00.250000+00:00"),
        ("2026-11-21 13:03:00+02", "2026-11-21T11:03:00+00:00"),
    ],
)
def test_a_time_is_read_in_its_zone(text: str, utc: str) -> None:
    assert choice.parse_time(text).isoformat() == utc


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-21 14:03:00", r"no time zone; write 2026-11-21 14:03:00\+00:00"),
        ("yesterday", "is no time"),
        ("2026-13-21 14:03:00Z", "does not exist"),
        ("2026-11-21 25:03:00Z", "does not exist"),
    ],
)
def test_what_is_no_time_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        choice.parse_time(text)


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({}, choice.Target()),
        ({"time": "", "xid": "", "name": ""}, choice.Target()),
        ({"time": "2026-11-21 11:00Z"}, choice.Target("time", "2026-11-21 11:00:00.000000+0000")),
        ({"xid": 812, "exclusive": True}, choice.Target("xid", "812", exclusive=True)),
        ({"name": "before the upgrade", "timeline": 3}, choice.Target("name", "before the upgrade", timeline=3)),
    ],
)
def test_targets(given: dict[str, Any], target: choice.Target) -> None:
    assert choice.parse_target(**given, now=NOW) == target


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"time": "2026-11-21 12:00:01Z"}, "in the future"),
        ({"time": "2026-11-21 11:00Z", "xid": "812"}, "time and xid: give one"),
        ({"xid": "many"}, "no transaction"),
        ({"xid": "2"}, "no transaction"),
        ({"name": "a'b"}, "quotes"),
        ({"exclusive": True}, "goes with time or xid"),
    ],
)
def test_targets_that_can_not_be(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        choice.parse_target(**given, now=NOW)


def backup(label: str, stop: float, repo: int = 1, timeline: int = 1) -> choice.Backup:
    return choice.Backup(label, repo, "full", stop - 10, stop, 1000, timeline, damaged=False, system="77")


def at(second: int) -> choice.Target:
    moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+0000")
    return choice.Target("time", moment)


GOOD = (choice.Repository(1, "", {}), choice.Repository(2, "", {}))
FIRST_AWAY = (choice.Repository(1, "[HostConnectError] no route", {}), choice.Repository(2, "", {}))
BACKUPS = (backup("A", 100), backup("B", 200), backup("A", 100, 2), backup("C", 300, 2), backup("D", 400, timeline=2))


@pytest.mark.parametrize(
    ("target", "repositories", "label", "chosen"),
    [
        (choice.Target(), GOOD, None, ("D", 1)),
        (choice.Target(), FIRST_AWAY, None, ("C", 2)),
        (at(350), GOOD, None, ("C", 2)),
        (at(300), GOOD, None, ("B", 1)),
        (at(150), GOOD, None, ("A", 1)),
        (at(250), FIRST_AWAY, None, ("A", 2)),
        (choice.Target("xid", "9"), GOOD, "A", ("A", 1)),
        (choice.Target("name", "x", timeline=1), GOOD, None, ("C", 2)),
    ],
)
def test_the_newest_backup_before_the_target_in_a_repository_that_answers(
    target: choice.Target, repositories: tuple[choice.Repository, ...], label: str | None, chosen: tuple[str, int]
) -> None:
    found = choice.choose(target, choice.Stock(repositories, BACKUPS), label)
    assert (found.label, found.repo) == chosen


@pytest.mark.parametrize(
    ("target", "stock", "label", "reason"),
    [
        (
            at(50),
            choice.Stock(GOOD, BACKUPS),
            None,
            "no backup ends before time .*the oldest, A, ended at 1970-01-01 00:01",
        ),
        (at(150), choice.Stock(FIRST_AWAY, BACKUPS[:2]), None, "no backup in the repositories.*repository 1: .Host"),
        (at(150), choice.Stock(FIRST_AWAY[:1], BACKUPS), None, "no repository can be read: repository 1: .Host"),
        (at(150), choice.Stock((), ()), None, "none is configured"),
        (choice.Target(), choice.Stock(GOOD, BACKUPS), "Z", "there is no backup Z; there are D, C, B, A"),
    ],
)
def test_no_backup_fits(target: choice.Target, stock: choice.Stock, label: str | None, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        choice.choose(target, stock, label)


INFO = [
    {
        "name": "lab",
        "archive": [
            {"database": {"id": 1, "repo-key": 1}, "id": "17-1", "min": "0" * 24, "max": "00000001000000000000000A"},
            {"database": {"id": 2, "repo-key": 1}, "id": "17-2", "min": None, "max": None},
        ],
        "backup": [
            {
                "archive": {"start": "000000020000000000000007", "stop": "000000020000000000000007"},
                "database": {"id": 1, "repo-key": 1},
                "error": False,
                "info": {"size": 4242, "delta": 1},
                "label": "20261121-120629F",
                "timestamp": {"start": 10, "stop": 20},
                "type": "full",
            }
        ],
        "db": [{"id": 1, "repo-key": 1, "system-id": 77, "version": "17"}],
        "repo": [
            {"key": 1, "status": {"code": 0, "message": "ok"}},
            {"key": 2, "status": {"code": 99, "message": "[CryptoError] wrong\n  key"}},
            {"key": 3, "status": {"code": 2, "message": "no valid backups"}},
        ],
    }
]


def test_what_pgbackrest_says_is_read() -> None:
    stock = choice.parse_info(json.dumps(INFO), "lab")
    assert [one.problem for one in stock.repositories] == ["", "[CryptoError] wrong key", ""]
    assert stock.repositories[0].newest_wal == {"77": "00000001000000000000000A"}
    (found,) = stock.backups
    assert (found.label, found.repo, found.stop, found.size, found.timeline, found.system) == (
        "20261121-120629F", 1, 20, 4242, 2, "77"
    )  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), [("oops", "no JSON"), ("[]", "knows the stanza 'lab'")])
def test_an_answer_without_the_stanza_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        choice.parse_info(text, "lab")


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (choice.Target(), ["--type=standby"]),
        (at(0), ["--type=time", "--target=1970-01-01 00:00:00.000000+0000", "--target-action=pause"]),
        (
            choice.Target("xid", "9", exclusive=True, timeline=2),
            ["--type=xid", "--target=9", "--target-action=pause", "--target-exclusive", "--target-timeline=2"],
        ),
    ],
)
def test_recovery_waits_at_its_target(target: choice.Target, options: list[str]) -> None:
    assert choice.arguments(target, backup("A", 1)) == ["--set=A", "--repo=1", *options]


@pytest.mark.parametrize(
    ("timeline", "lsn", "name"),
    [
        (1, "0/F000000", "00000001000000000000000E"),
        (1, "0/F000001", "00000001000000000000000F"),
        (18, "16/B374D848", "0000001200000016000000B3"),
    ],
)
def test_the_segment_of_a_place(timeline: int, lsn: str, name: str) -> None:
    assert choice.segment(timeline, lsn) == name


def test_the_newest_segment_of_a_timeline() -> None:
    repositories = [
        choice.Repository(1, "", {"77": "000000010000000000000003"}),
        choice.Repository(2, "", {"77": "000000010000000000000005"}),
        choice.Repository(3, "away", {"77": "000000010000000000000009"}),
    ]
    assert choice.newest_wal(repositories, "77", 1) == "000000010000000000000005"
    assert choice.newest_wal(repositories, "77", 2) == ""
