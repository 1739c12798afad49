# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore as an operation: where it takes place, how it resumes, what stands against it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

BACKUP = choice.Backup("A", 1, "full", 90, 100, 1_000_000, 1, damaged=False, system="77")
STOCK = choice.Stock((choice.Repository(1, "", {"77": "000000010000000000000005"}),), (BACKUP,))
NAMES = ("a1", "b1", "c1")
PLENTY = 10_000_000_000


def look(name: str, data: str = "cluster", position: tuple[int, int] = (1, 5)) -> rules.Look:
    return rules.Look(name, data, "77", position, free=PLENTY)


def begun(phase: str = rules.FETCH) -> rules.Operation:
    return rules.Operation("b1", choice.Target("xid", "9"), BACKUP, keep=False, phase=phase)


ALL = tuple(look(name) for name in NAMES)


@pytest.mark.parametrize(
    ("looks", "leader", "where"),
    [
        (ALL, "a1", ("b1", False)),
        (ALL, "b1", ("a1", False)),
        ((look("a1"), look("b1", position=(2, 1)), look("c1")), None, ("a1", False)),
        ((look("a1", position=(1, 9)), look("b1"), look("c1")), None, ("b1", False)),
        ((look("a1", "none"), look("b1", "none")), None, ("a1", False)),
        ((look("a1", "partial"), look("b1")), None, ("a1", False)),
        ((look("a1"),), "a1", ("a1", True)),
        ((look("a1"),), None, ("a1", True)),
        ((look("a1", "none"),), None, ("a1", False)),
    ],
)
def test_the_newest_data_is_the_way_back(
    looks: tuple[rules.Look, ...], leader: str | None, where: tuple[str, bool]
) -> None:
    assert rules.place(looks, leader) == where


def test_a_new_operation_begins_with_a_backup_and_a_member() -> None:
    operation = rules.plan(ALL, NAMES, "a1", choice.Target(), STOCK)
    assert (operation.host, operation.backup, operation.phase, operation.keep) == ("b1", BACKUP, "fetch", False)
    assert operation.newest_wal == {"1": "000000010000000000000005"}


@pytest.mark.parametrize("phase", rules.PHASES)
def test_the_same_command_goes_on_where_it_was_cut_off(phase: str) -> None:
    looks = (ALL[0], replace(ALL[1], operation=begun(phase)), ALL[2])
    assert rules.plan(looks, NAMES, None, choice.Target("xid", "9"), choice.Stock()).phase == phase


@pytest.mark.parametrize(
    ("phase", "advice"), [("reached", "postgresql_restore_abandon"), ("committed", "with the same target$")]
)
def test_another_target_is_refused_meanwhile(phase: str, advice: str) -> None:
    looks = (ALL[0], replace(ALL[1], operation=begun(phase)), ALL[2])
    with pytest.raises(Failed, match=f"xid 9 was begun on b1 .*{advice}"):
        rules.plan(looks, NAMES, None, choice.Target(), STOCK)


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        (ALL[:2], "c1 can't be reached"),
        (tuple(replace(one, free=100) for one in ALL), "b1: the backup needs 0.0 GB more"),
        ((replace(ALL[0], operation=begun()), replace(ALL[1], operation=begun()), ALL[2]), "more than one restore"),
    ],
)
def test_what_stands_against_it(looks: tuple[rules.Look, ...], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        rules.plan(looks, NAMES, "a1", choice.Target(), STOCK)


@pytest.mark.parametrize(
    ("here", "goes"),
    [
        (look("a1"), False),
        (look("a1", "none"), False),
        (look("a1", "partial"), True),
        (replace(look("a1"), system="78"), True),
    ],
)
def test_data_of_another_cluster_has_to_go(here: rules.Look, goes: bool) -> None:
    assert rules.foreign(here, "77") is goes


def test_a_record_survives(tmp_path: Path) -> None:
    path = tmp_path / "below/operation.json"
    assert rules.read(path) is None
    operation = begun().after(rules.RECOVER, fetch=1.26)
    rules.write(path, operation)
    assert rules.read(path) == operation
    assert operation.seconds == {"fetch": 1.3}
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(Failed, match="can't be read"):
        rules.read(path)


def test_a_look_survives_the_way_over_the_controller() -> None:
    here = replace(look("a1"), operation=begun())
    assert rules.look_from(json.loads(json.dumps(asdict(here)))) == here


@pytest.mark.parametrize(("text", "number"), [("16/B374D848", 0x16B374D848), ("", 0)])
def test_lsn(text: str, number: int) -> None:
    assert rules.parse_lsn(text) == number
