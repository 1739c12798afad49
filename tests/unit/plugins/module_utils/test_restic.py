# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which copy is meant, when copies are too old, and what a round leaves when programs fail."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _restic
from ansible_collections.holdfast.platform.plugins.module_utils._restic import BackupError, Copy, Settings

OLD = Copy("a", "aaaaaaaa11", 1000.0)
NEW = Copy("a", "bbbbbbbb22", 5000.0)
NEWEST = Copy("b", "cccccccc33", 5002.0)
COPIES = [NEW, NEWEST, OLD]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", NEWEST),
        ("bbbbbbbb", NEW),
        ("bbbbbbbb22", NEW),
        ("1970-01-01T01:00:00Z", OLD),
        ("1970-01-01 01:23:21", NEW),
        ("1970-01-01T03:23:22+02:00", NEWEST),
    ],
)
def test_choose(wanted: str, expected: Copy) -> None:
    assert _restic.choose(COPIES, wanted) == expected


@pytest.mark.parametrize(
    ("copies", "wanted", "reason"),
    [
        ([], "", "no copy in any repository"),
        (COPIES, "dddddddd", r"has a copy dddddddd; the newest is cccccccc of 1970-01-01T01:23:22Z in b"),
        (COPIES, "1970-01-01", r"no copy is older than 1970-01-01; the oldest is aaaaaaaa"),
        (COPIES, "yesterday", r"'yesterday' is no time; give one such as"),
    ],
)
def test_a_copy_that_is_not_there(copies: list[Copy], wanted: str, reason: str) -> None:
    with pytest.raises(BackupError, match=reason):
        _restic.choose(copies, wanted)


def settings(tmp_path: Path, **more: Any) -> Settings:
    """Return settings of a service with two repositories, a copy due each hour."""
    repositories = {"a": "sftp:a:/data", "b": "sftp:b:/data"}
    keep = {"hourly": 24, "daily": 7}
    given = {"produce": ["true"], "password_file": "/p", "ssh_config": "/s", "every": 3600, "keep": keep, **more}
    return Settings(service="demo", cluster="north-demo", repositories=repositories, state=str(tmp_path), **given)


@pytest.mark.parametrize(
    ("copies", "since", "problems"),
    [
        ({"a": [Copy("a", "1", 9000.0)], "b": [Copy("b", "1", 9000.0)]}, 0, []),
        pytest.param({"a": [], "b": []}, 9000, [], id="configured a moment ago"),
        ({"a": [], "b": [Copy("b", "1", 9000.0)]}, 0, ["repository a: there is no copy, and every 1 h one is due"]),
        (
            {"a": [Copy("a", "1", 2800.0), Copy("a", "0", 100.0)], "b": "no route to host"},
            0,
            [
                "repository a: the newest copy is 2.0 h old, and every 1 h one is due",
                "repository b: no route to host",
            ],
        ),
    ],
)
def test_judge(tmp_path: Path, copies: dict[str, list[Copy] | str], since: float, problems: list[str]) -> None:
    assert _restic.judge(settings(tmp_path), copies, since=since, now=10000.0) == problems


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path with a restic that notes its arguments, and fails for the repository b."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "restic"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/calls\n'
        'case "$*" in\n'
        '*sftp:b:*) echo \'{"message_type": "exit_error", "message": "Fatal: connection refused"}\' >&2; exit 1 ;;\n'
        "*cat*config*) exit 10 ;;\n"
        '*snapshots*) echo \'[{"id": "1234567890", "time": "2026-11-21T10:00:00.123456789Z"}]\' ;;\n'
        '*backup*) echo \'{"snapshot_id": "1234567890"}\' ;;\n'
        "esac\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


def test_one_store_that_is_down_keeps_the_other_from_nothing(tmp_path: Path, programs: Path) -> None:
    producer = programs / "produce"
    producer.write_text('#!/bin/sh\necho data > "$1/file"; echo \'{"keys": 3}\'\n', encoding="utf-8")
    producer.chmod(0o755)
    given = settings(tmp_path / "state", produce=[str(producer)])
    done = _restic.backup(given)
    assert done is not None
    assert _restic.complaints(done) == ["repository b: the copy failed with status 1: Fatal: connection refused"]
    assert done["repositories"]["a"]["id"] == "1234567890"
    assert done["manifest"]["figures"] == {"keys": 3}
    assert done["manifest"]["files"]["file"]["bytes"] == 5
    assert json.loads((given.home / "copy/manifest.json").read_text(encoding="utf-8")) == done["manifest"]
    shown = (tmp_path / "state/metrics/demo.prom").read_text(encoding="utf-8")
    assert 'holdfast_backup_success{service="demo",repository="a"} 1' in shown
    assert 'holdfast_backup_success{service="demo",repository="b"} 0' in shown
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert " init\n" in calls, "a repository that is not there is made"
    assert "forget --host north-demo --tag demo --group-by host,tags --prune --keep-hourly 24 --keep-daily 7" in calls


def test_another_member_makes_the_copy(tmp_path: Path) -> None:
    assert _restic.backup(settings(tmp_path, produce=["sh", "-c", "exit 75"])) is None


def test_a_program_that_fails_makes_no_copy(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"^sh ended with status 3: no such luck$"):
        _restic.backup(settings(tmp_path, produce=["sh", "-c", "echo no such luck >&2; exit 3"]))


def test_repositories_that_answer_and_those_that_do_not(tmp_path: Path, programs: Path) -> None:
    found = _restic.all_copies(settings(tmp_path))
    assert found["a"] == [Copy("a", "1234567890", 1795255200.123456)]
    assert found["b"] == "listing the copies failed with status 1: Fatal: connection refused"


def test_a_copy_that_was_damaged_is_found(tmp_path: Path) -> None:
    place = tmp_path / "restore"
    place.mkdir()
    (place / "file").write_text("data\n", encoding="utf-8")
    files = {"file": {"bytes": 5, "sha256": _restic.digest(place / "file")}}
    (place / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    assert _restic.fetch(settings(tmp_path), NEW, place)["files"] == files
    (place / "file").write_text("date\n", encoding="utf-8")
    with pytest.raises(BackupError, match=r"file is not what its manifest says: it is damaged"):
        _restic.fetch(settings(tmp_path), NEW, place)


def test_settings_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"service": "demo"}', encoding="utf-8")
    with pytest.raises(BackupError, match=r"settings\.json: .*missing"):
        _restic.load(str(path))
