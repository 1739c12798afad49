# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What opens a pgBackRest repository, phase by phase, and at every moment in between."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_keys as keys
from ansible_collections.holdfast.platform.plugins.module_utils._pgbackrest_keys import Passphrases
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed

ARCHIVE, BACKUP = "archive/lab/archive.info", "backup/lab/backup.info"
TEXT = "[backrest]\n"


class Repository(keys.Repository):
    """A repository that is a table: of each file the passphrase and the text. Every state that it was in is kept."""

    def __init__(self, **passphrases: str) -> None:
        super().__init__("a", "lab")
        files = {
            "archive": ARCHIVE,
            "archive_copy": f"{ARCHIVE}.copy",
            "backup": BACKUP,
            "backup_copy": f"{BACKUP}.copy",
        }
        table = {files[name]: (passphrase, f"{TEXT}{files[name][:7]}\n") for name, passphrase in passphrases.items()}
        self.__dict__.update(table=table, states=[dict(table)])

    def get(self, file: str, passphrase: str) -> str | None:
        known, text = self.__dict__["table"].get(file, ("", ""))
        return text if known == passphrase else None

    def put(self, file: str, text: str, passphrase: str) -> None:
        self.__dict__["table"][file] = (passphrase, text)
        self.__dict__["states"].append(dict(self.__dict__["table"]))

    def exists(self) -> bool:
        return bool(self.__dict__["table"])

    @property
    def open_to(self) -> list[tuple[str, ...]]:
        """For each file and its copy the passphrases."""
        return [tuple(self.__dict__["table"][name][0] for name in (file, f"{file}.copy")) for file in (ARCHIVE, BACKUP)]

    def always(self, *passphrases: str) -> bool:
        """Whether in every state one of each pair was open to each of these passphrases."""
        return all(
            passphrase in (state[file][0], state[f"{file}.copy"][0])
            for state in self.__dict__["states"]
            for file in (ARCHIVE, BACKUP)
            for passphrase in passphrases
        )


def repository(pair: tuple[str, str]) -> Repository:
    return Repository(archive=pair[0], archive_copy=pair[1], backup=pair[0], backup_copy=pair[1])


@pytest.mark.parametrize(
    ("before", "passphrases", "after", "in_use"),
    [
        pytest.param(("old", "old"), Passphrases("old", "new"), ("old", "new"), "old", id="added"),
        pytest.param(("old", "new"), Passphrases("new", "old"), ("new", "old"), "old", id="switched"),
        pytest.param(("old", "old"), Passphrases("new", "old"), ("new", "old"), "old", id="a copy wrote the old one"),
        pytest.param(("new", "old"), Passphrases("new", "", "old"), ("new", "new"), "new", id="retired"),
        pytest.param(("old", "new"), Passphrases("old", "", "new"), ("old", "old"), "old", id="aborted early"),
        pytest.param(("new", "old"), Passphrases("old", "new"), ("old", "new"), "new", id="aborted late"),
        pytest.param(("new", "old"), Passphrases("new", "old"), ("new", "old"), "new", id="again"),
    ],
)
def test_phases(before: tuple[str, str], passphrases: Passphrases, after: tuple[str, str], in_use: str) -> None:
    """in_use: what members have while it is done."""
    found = repository(before)
    tried = repository(before)
    assert keys.ensure(tried, passphrases, check=True) is (before != after)
    assert tried.open_to == [before, before]
    assert keys.ensure(found, passphrases, check=False) is (before != after)
    assert found.open_to == [after, after]
    assert found.always(in_use)
    assert not [*keys.closed(found, passphrases), *keys.still_open(found, passphrases)]
    assert not keys.ensure(found, passphrases, check=False)


def test_a_copy_that_is_behind_is_made_like_its_file() -> None:
    found = repository(("new", "new"))
    found.put(f"{BACKUP}.copy", f"{TEXT}older\n", "new")
    assert keys.ensure(found, Passphrases("new"), check=False)
    assert found.get(f"{BACKUP}.copy", "new") == found.get(BACKUP, "new")


def test_a_file_that_is_lost_comes_from_its_copy() -> None:
    found = repository(("old", "old"))
    del found.__dict__["table"][BACKUP]
    assert keys.ensure(found, Passphrases("old"), check=False)
    assert found.get(BACKUP, "old") == found.get(f"{BACKUP}.copy", "old")


def test_what_no_passphrase_opens_is_left_alone() -> None:
    found = repository(("stranger", "stranger"))
    with pytest.raises(Failed, match=r"store a: archive/lab/archive\.info: no passphrase of the secret opens it"):
        keys.ensure(found, Passphrases("new", "old"), check=False)
    assert found.open_to == [("stranger", "stranger")] * 2


def test_a_repository_that_is_not_there_yet() -> None:
    found = Repository()
    assert not keys.ensure(found, Passphrases("new", "old"), check=False)
    assert not [*keys.closed(found, Passphrases("new", "old")), *keys.still_open(found, Passphrases("new", "", "old"))]


def test_what_should_be_open_and_what_should_not() -> None:
    assert [
        problem.rpartition(": ")[2] for problem in keys.closed(repository(("old", "old")), Passphrases("old", "new"))
    ] == ["a passphrase that should open it does not"] * 2
    assert [
        problem.rpartition(": ")[2]
        for problem in keys.still_open(repository(("new", "old")), Passphrases("new", "", "old"))
    ] == ["the old passphrase still opens it"] * 2


@pytest.mark.parametrize(
    ("done", "text"),
    [
        (Done(0, f"{TEXT}x", ""), f"{TEXT}x"),
        (Done(95, "", "unable to flush"), None),
        (Done(29, "", "cipher header invalid"), None),
        (Done(55, "", "unable to open missing file"), None),
        (Done(0, "\x00garbage", ""), None),
    ],
)
def test_reading(monkeypatch: pytest.MonkeyPatch, done: Done, text: str | None) -> None:
    def run(argv: list[str], *, env: dict[str, str], **_: object) -> Done:
        assert "sesame" not in " ".join(argv)
        assert env == {"PGBACKREST_REPO1_CIPHER_PASS": "sesame"}
        return done

    monkeypatch.setattr(keys, "run", run)
    assert keys.Repository("a", "lab").get(BACKUP, "sesame") == text


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        (Done(42, "", "ERROR: [042]: no host"), r"store a: backup/lab/backup\.info: ERROR: .042.: no host"),
        (Done(0, f"{TEXT}\ufffd", ""), "holds what is no text"),
    ],
)
def test_reading_that_fails(monkeypatch: pytest.MonkeyPatch, done: Done, reason: str) -> None:
    monkeypatch.setattr(keys, "run", lambda *_, **__: done)
    with pytest.raises(Failed, match=reason):
        keys.Repository("a", "lab").get(BACKUP, "sesame")


def test_a_copy_that_is_being_made_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOCK", tmp_path / "run.lock")
    with keys.no_copy_is_made(0):
        pass
    with (tmp_path / "run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Failed, match="a copy is being made"), keys.no_copy_is_made(0):
            pass
