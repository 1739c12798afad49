# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that recovers by itself: its settings, and what its end means."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_recovery as recovery

PLACE = recovery.Place("/bin", "/data", "drill", "lab", archive=False)
CONTROL = recovery.parse_controldata("max_connections setting:              150\nmax_worker_processes setting: 8\n")


def test_settings_keep_everybody_out_and_suffice_for_the_backup_and_for_today() -> None:
    wanted = recovery.settings(PLACE, CONTROL, {"max_connections": 200, "work_mem": "4MB"}, "/access")
    assert wanted["max_connections"] == "200"
    assert wanted["max_worker_processes"] == "8"
    assert {wanted[name] for name in ("listen_addresses", "primary_conninfo", "synchronous_standby_names")} == {""}
    assert (wanted["archive_mode"], wanted["archive_command"]) == ("off", "/bin/false")
    assert "work_mem" not in wanted


@pytest.mark.parametrize(
    ("running", "names"),
    [
        ({"max_connections": "150", "max_worker_processes": "8"}, []),
        ({"max_connections": "200", "max_worker_processes": "7"}, ["max_worker_processes"]),
        ({"max_connections": "149", "max_worker_processes": "9"}, ["max_connections"]),
    ],
)
def test_a_server_that_the_wal_has_outgrown(running: dict[str, str], names: list[str]) -> None:
    assert recovery.outgrown(CONTROL, running) == names


@pytest.mark.parametrize(
    ("words", "target", "reason"),
    [
        (
            "FATAL:  recovery ended before configured recovery target was reached",
            choice.Target("time", "2026-11-21 11:00:00.000000+0000"),
            "the WAL of the repositories ends before time",
        ),
        (
            "FATAL:  recovery ended before configured recovery target was reached",
            choice.Target("name", "x"),
            "name x is nowhere in the WAL",
        ),
        ("LOG: a\nFATAL:  could not locate required checkpoint record", choice.Target(), "could not locate required"),
        ("", choice.Target(), "the server said nothing"),
    ],
)
def test_why_recovery_ended(words: str, target: choice.Target, reason: str) -> None:
    assert reason in recovery.judge(words, target)


@pytest.mark.parametrize(("newest", "complaint"), [("E", ""), ("F", "the segment after it is missing"), ("", "")])
def test_a_gap_in_the_wal_is_not_taken_for_its_end(newest: str, complaint: str) -> None:
    backup = choice.Backup("A", 1, "full", 1, 2, 3, 1, damaged=False, system="77")
    held = {"77": f"00000001000000000000000{newest}"} if newest else {}
    reached = recovery.Reached("", "0/F000000", 1, "recovered")
    said = recovery.complete(reached, [choice.Repository(1, "", held)], backup)
    assert complaint in said
    assert bool(said) is bool(complaint)
