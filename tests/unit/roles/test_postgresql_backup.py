# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decisions of the program that backs up PostgreSQL: what is due, what goes, who is asked, what is offered."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "roles/postgresql/files/usr/local/lib/holdfast/pgbackrest_postgresql.py"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("postgresql_backup", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copies(*ages: timedelta, kind: str = "full") -> list[dict[str, Any]]:
    """Copies that were finished so long ago, oldest first; the label is the moment."""
    moments = sorted(NOW - age for age in ages)
    return [{"label": f"{at:%m-%d %H}", "type": kind, "timestamp": {"stop": at.timestamp()}} for at in moments]


def days(*numbers: float) -> list[timedelta]:
    return [timedelta(days=number) for number in numbers]


@pytest.mark.parametrize(
    ("backups", "surplus", "whole"),
    [
        pytest.param([], [], 1, id="none"),
        pytest.param(copies(*days(0)), [], 1, id="the first"),
        pytest.param(copies(*days(0, 1, 6.9)), [], 3, id="all within the span"),
        # Where a restore to seven days ago begins stays, with its WAL.
        pytest.param(copies(*days(0, 6.9, 7.1)), [], 3, id="one before the span"),
        # Monday 9 November to Saturday 14: the first stays for its week, the last for the span.
        pytest.param(
            copies(*days(0, 7.1, 8, 9, 10, 11, 12)), ["11-10 12", "11-11 12", "11-12 12", "11-13 12"], 2, id="a week"
        ),
        # Sunday 8 November belongs to the week before.
        pytest.param(copies(*days(0, 7.1, 12, 13)), [], 2, id="two weeks"),
        pytest.param(copies(*days(0, 7.1, 8, 8.1), kind="incr"), [], 1, id="only full copies count"),
    ],
)
def test_what_is_given_up(program: ModuleType, backups: list[dict[str, Any]], surplus: list[str], whole: int) -> None:
    assert program.thin(backups, NOW.timestamp(), 7) == (surplus, whole)


def test_three_months_of_copies_every_six_hours_leave_a_week_of_them_and_one_of_each_week_before(
    program: ModuleType,
) -> None:
    held: list[dict[str, Any]] = []
    now = NOW - timedelta(days=90)
    while now <= NOW:
        held.append({"label": f"{now:%m-%d %H}", "type": "full", "timestamp": {"stop": now.timestamp()}})
        surplus, whole = program.thin(held, now.timestamp(), 7)
        held = [backup for backup in held if backup["label"] not in surplus]
        now += timedelta(hours=6)
    recent = [backup for backup in held if backup["timestamp"]["stop"] >= (NOW - timedelta(days=7)).timestamp()]
    weeks = [datetime.fromtimestamp(backup["timestamp"]["stop"], UTC).isocalendar()[:2] for backup in held]
    assert len(recent) == 29
    assert whole == 30
    # The first copy of each week, and the last one before the span.
    assert len(set(weeks)) == 14
    assert len(held) - len(recent) == 13 + 1


@pytest.mark.parametrize(
    ("backups", "missed", "due"),
    [
        ([], False, True),
        (copies(timedelta(hours=5, minutes=49)), False, False),
        (copies(timedelta(hours=5, minutes=50)), False, True),
        (copies(timedelta(hours=30), timedelta(hours=1)), False, False),
        (copies(timedelta(hours=1)), True, True),
        (copies(timedelta(hours=1), kind="diff"), False, True),
    ],
)
def test_what_is_due(program: ModuleType, backups: list[dict[str, Any]], missed: bool, due: bool) -> None:
    assert program.due(backups, NOW.timestamp(), 6 * 3600, missed=missed) is due


def test_who_is_left_out(program: ModuleType) -> None:
    assert program.left_out({"a": {"tried": 1000}, "b": {"tried": 400}, "c": {"tried": 0}}, 1599) == {"a"}


HISTORY = "1\t0/5000000\tno recovery target specified\n\n2\t0/A1000028\tno recovery target specified\n"


def test_where_a_timeline_ended(program: ModuleType) -> None:
    assert program.switched(HISTORY) == (2, 0xA1)
    assert program.switched("1\t3/12345678\twhy\n") == (1, 0x312)
    with pytest.raises(ValueError, match="no line"):
        program.switched("# nothing\n")


def test_what_a_new_leader_offers(program: ModuleType) -> None:
    names = [
        "00000002000000000000009F",
        "0000000200000000000000A0",
        "0000000200000000000000A1",  # the timeline ended in it: it goes as .partial
        "0000000200000000000000A2",  # made in advance
        "0000000300000000000000A1",
        "00000001000000000000009E",
        "00000003.history",
        "archive_status",
    ]
    assert program.unarchived(names, 2, 0xA1) == ["00000002000000000000009F", "0000000200000000000000A0"]
    assert program.number("000000020000000300000012") == 0x312


class Stores:
    """pgBackRest with two stores, of which some are down; it notes what was pushed where."""

    def __init__(self, program: ModuleType, *down: str) -> None:
        self.failed = program.Failed
        self.down = set(down)
        self.calls: list[str] = []

    def __call__(self, config: str, *_: str) -> str:
        asked = {"a", "b"} if "stores/" not in config else {Path(config).stem}
        self.calls.append("all" if len(asked) == 2 else min(asked))
        if asked & self.down:
            raise self.failed("unable to connect")
        return ""


@pytest.fixture
def given(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two stores, room for four files, eight at most."""
    monkeypatch.setattr(program, "STATE", tmp_path)
    (tmp_path / "pg_wal/archive_status").mkdir(parents=True)
    return {"stanza": "x", "stores": ["a", "b"], "data": str(tmp_path), "hold": 4 << 24, "limit": 8 << 24}


def wait_for(given: dict[str, Any], number: int) -> None:
    """Let so many files wait."""
    for index in range(number):
        Path(given["data"], f"pg_wal/archive_status/{index}.ready").touch()


@pytest.mark.parametrize(
    ("down", "files", "status", "calls", "missed"),
    [
        pytest.param([], 1, 0, ["all"], [], id="all take it"),
        pytest.param(["b"], 3, 1, ["all"], [], id="one is down, a little waits"),
        pytest.param(["b"], 4, 0, ["all", "a", "b"], ["b"], id="one is down, the other goes on"),
        pytest.param(["a", "b"], 7, 1, ["all", "a", "b"], [], id="all are down, all waits"),
        pytest.param(["a", "b"], 8, 0, ["all", "a", "b"], ["a", "b"], id="all are down, the server goes on"),
    ],
)
def test_archiving(
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    *,
    down: list[str],
    files: int,
    status: int,
    calls: list[str],
    missed: list[str],
) -> None:
    stores = Stores(program, *down)
    monkeypatch.setattr(program, "pgbackrest", stores)
    wait_for(given, files)
    assert program.archive(given, "pg_wal/000000010000000000000001") == status
    assert stores.calls == calls
    assert sorted(program.read("missed.json")) == missed


def test_a_store_that_comes_back_gets_wal_again_and_stays_marked_until_its_next_copy(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    stores = Stores(program, "b")
    monkeypatch.setattr(program, "pgbackrest", stores)
    wait_for(given, 4)
    for _ in range(2):
        assert program.archive(given, "pg_wal/000000010000000000000001") == 0
    assert stores.calls == ["all", "a", "b", "a"]  # b is left out for a while
    stores.down.clear()
    held = program.read("missed.json")
    held["b"]["tried"] = 0
    program.write("missed.json", json.dumps(held))
    assert program.archive(given, "pg_wal/000000010000000000000002") == 0
    assert stores.calls[4:] == ["all"]
    assert "until" in program.read("missed.json")["b"]


def test_metrics(program: ModuleType) -> None:
    copy = {"label": "x", "stop": 1800000000, "seconds": 6.1, "bytes": 31, "stored_bytes": 4}
    text = program.metrics("lab", {"a": copy, "b": {"error": "down"}})
    labels = 'service="postgresql",stanza="lab",store='
    assert f'holdfast_backup_success{{{labels}"a"}} 1\nholdfast_backup_success{{{labels}"b"}} 0\n' in text
    assert text.count("_duration_seconds{") == 1
    assert text.endswith("\n")
