# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program: what comes back, and how each way of not working is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run


@pytest.mark.parametrize(
    ("script", "done"),
    [
        ("echo out; echo err >&2", Done(0, "out\n", "err\n")),
        ("exit 3", Done(3, "", "")),
        ("cat", Done(0, "typed in", "")),
        ('echo "$LC_ALL $GREETING"', Done(0, "C.UTF-8 hello\n", "")),
        (r"printf 'caf\351\n'", Done(0, "caf\N{REPLACEMENT CHARACTER}\n", "")),
    ],
)
def test_what_comes_back(script: str, done: Done) -> None:
    assert run(["sh", "-c", script], check=False, stdin="typed in", env={"GREETING": "hello"}) == done


def test_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "yes")
    assert run(["sh", "-c", 'echo "$KEPT"']).out == "yes\n"
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo out; echo ' why ' >&2; exit 2", ": exit status 2: why"),
        ("echo only out; exit 1", ": exit status 1: only out"),
        ("yes too long | head -n 1000; exit 1", "too long"),
        ("kill -9 $$", ": exit status -9: "),
    ],
)
def test_an_exit_status(script: str, message: str) -> None:
    with pytest.raises(Failed) as caught:
        run(["sh", "-c", script])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 2200, "a long text is cut off"


def test_a_program_that_takes_too_long() -> None:
    with pytest.raises(Failed, match=r"^sleep 9: no end after 0\.1 s$"):
        run(["sleep", "9"], timeout=0.1)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(Failed, match=r"^holdfast-none --now: the program is not installed on this host$"):
        run(["holdfast-none", "--now"])


def test_a_program_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="Permission denied"):
        run([str(tmp_path)])
