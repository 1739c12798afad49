# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _restic, _restic_keys
from ansible_collections.holdfast.platform.plugins.module_utils._restic import BackupError, Settings
from ansible_collections.holdfast.platform.plugins.module_utils._restic_keys import Wanted, ensure, problems

SETTINGS = Settings(
    service="etcd", cluster="lab", produce=["make"], repositories={"a": "sftp:a:/data"}, password_file="/none",
    ssh_config="/none", every=3600, keep={},
)  # fmt: skip


class Repository:
    """A repository that knows passphrases by the ids of their keys, behind restic's command line."""

    def __init__(self, *passphrases: str, there: bool = True):
        self.keys = {f"id{number}": passphrase for number, passphrase in enumerate(passphrases)}
        self.there = there

    def __call__(
        self, settings: Settings, repository: str, *arguments: str, timeout: float = 0
    ) -> subprocess.CompletedProcess[str]:
        assert repository == "a"
        assert timeout
        given = Path(settings.password_file).read_text(encoding="utf-8").strip()
        words = [word for word in arguments if word != "--no-lock"]
        done: Any = lambda status, out="", err="": subprocess.CompletedProcess([], status, out, err)  # noqa: E731
        if not self.there:
            return done(_restic.NO_REPOSITORY)
        mine = next((key for key, passphrase in self.keys.items() if passphrase == given), None)
        if mine is None:
            return done(12, "", "Fatal: wrong password or no key found")
        if words[:2] == ["key", "add"]:
            self.keys[f"id{len(self.keys) + 10}"] = Path(words[-1]).read_text(encoding="utf-8").strip()
        elif words[:2] == ["key", "remove"]:
            assert words[2] != mine  # restic refuses that too
            del self.keys[words[2]]
        elif words[:2] == ["key", "list"]:
            return done(0, json.dumps([{"id": key, "current": key == mine} for key in self.keys]))
        return done(0)


@pytest.mark.parametrize(
    ("there", "wanted", "changed", "after"),
    [
        (["old"], Wanted(["old", "new"]), True, ["new", "old"]),
        (["old", "new"], Wanted(["old", "new"]), False, ["new", "old"]),
        (["old", "new"], Wanted(["new", "old"]), False, ["new", "old"]),
        (["old", "new", "old"], Wanted(["new"], ["old"]), True, ["new"]),
        (["new"], Wanted(["new"], ["old"]), False, ["new"]),
    ],
)
def test_what_opens_a_repository_is_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, there: list[str], wanted: Wanted, changed: bool, after: list[str]
) -> None:
    repository = Repository(*there)
    monkeypatch.setattr(_restic, "restic", repository)
    assert ensure(SETTINGS, "a", wanted, check=True) is changed
    assert sorted(repository.keys.values()) == sorted(there)
    assert ensure(SETTINGS, "a", wanted, check=False) is changed
    assert sorted(repository.keys.values()) == after
    assert not list(problems(SETTINGS, "a", wanted))


def test_a_repository_that_is_not_there_yet_gets_the_passphrase_of_its_first_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_restic, "restic", Repository(there=False))
    assert not ensure(SETTINGS, "a", Wanted(["old", "new"]), check=False)
    assert not list(problems(SETTINGS, "a", Wanted(["new"], ["old"])))


def test_a_repository_that_nothing_opens_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_restic, "restic", Repository("lost"))
    with pytest.raises(BackupError, match="repository a: no passphrase of the secret opens it"):
        ensure(SETTINGS, "a", Wanted(["old", "new"]), check=False)
    assert list(problems(SETTINGS, "a", Wanted(["new"], ["lost"]))) == [
        "repository a: the passphrase does not open it",
        "repository a: the old passphrase still opens it",
    ]


def test_restic_has_to_say_which_key_was_used() -> None:
    with pytest.raises(BackupError, match="does not say which key"):
        _restic_keys.current("[]")
