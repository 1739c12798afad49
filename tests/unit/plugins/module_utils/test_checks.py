# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a host: what counts as wrong, and the words for it."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _checks
from ansible_collections.holdfast.platform.plugins.module_utils._checks import (
    Check,
    judge_check,
    judge_settings,
    judge_units,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done

SSHD = Check(("sshd", "-T"), r"^passwordauthentication no$", "sshd takes passwords")


@pytest.mark.parametrize(
    ("done", "complaint"),
    [
        (Done(0, "port 22\npasswordauthentication no\nusepam yes\n", ""), ""),
        (Done(0, "passwordauthentication no", "a warning"), ""),
        (
            Done(0, "port 22\n  passwordauthentication no\n", ""),
            "sshd takes passwords (`sshd -T` ended with 0 and said: port 22 passwordauthentication no)",
        ),
        (Done(0, "", ""), "sshd takes passwords (`sshd -T` ended with 0 and said: nothing)"),
        (
            Done(255, "passwordauthentication no\n", "no hostkeys\nat all\n"),
            "sshd takes passwords (`sshd -T` ended with 255 and said: no hostkeys at all)",
        ),
        ("sshd -T: no end after 30 s", "sshd takes passwords: sshd -T: no end after 30 s"),
    ],
)
def test_judge_check(done: Done | str, complaint: str) -> None:
    assert judge_check(SSHD, done) == complaint


def test_a_long_output_is_cut_off() -> None:
    assert len(judge_check(SSHD, Done(0, "x" * 10_000, ""))) < 400


FAILED = "backup.service loaded failed failed Back up\n\nother.timer loaded failed failed Other\n"


@pytest.mark.parametrize(
    ("names", "states", "failed", "problems"),
    [
        ([], "", "", []),
        (["a", "b"], "active\nactive\n", "", []),
        (["a", "b"], "active\nactivating\n", "", ["b is activating"]),
        (["a", "b"], "inactive\nfailed\n", "", ["a is inactive", "b is failed"]),
        pytest.param(["a", "b"], "active\n", "", ["b is in no known state"], id="systemctl said less"),
        pytest.param(["a"], "", "", ["a is in no known state"], id="systemctl said nothing"),
        (["a"], "active\n", FAILED, ["backup.service has failed", "other.timer has failed"]),
    ],
)
def test_judge_units(names: list[str], states: str, failed: str, problems: list[str]) -> None:
    assert judge_units(names, states, failed) == problems


@pytest.mark.parametrize(
    ("wanted", "problems"),
    [
        ({}, []),
        ({"net.ipv4.tcp_syncookies": "1"}, []),
        ({"net.ipv4.tcp_syncookies": 1}, []),
        ({"net.ipv4.tcp_syncookies": "0"}, ["net.ipv4.tcp_syncookies is 1, not 0"]),
        ({"net.ipv4.tcp_rmem": "4096 131072  6291456"}, []),
        (
            {"net.ipv4.tcp_rmem": "4096"},
            ["net.ipv4.tcp_rmem is 4096\t131072\t6291456, not 4096"],
        ),
        ({"kernel.none": "1"}, ["kernel.none is None, not 1"]),
    ],
)
def test_judge_settings(wanted: dict[str, str], problems: list[str]) -> None:
    actual = {"net.ipv4.tcp_syncookies": "1\n", "net.ipv4.tcp_rmem": "4096\t131072\t6291456\n"}
    assert judge_settings(wanted, actual.get) == problems


@pytest.mark.parametrize(("key", "known"), [("kernel.ostype", True), ("kernel.none", False), ("kernel", False)])
def test_read_setting(key: str, known: bool) -> None:
    assert (_checks.read_setting(key) == "Linux\n") is known
    assert (_checks.read_setting(key) is not None) is known


@pytest.mark.parametrize(
    ("argv", "outcome"),
    [
        (("true",), Done(0, "", "")),
        (("false",), Done(1, "", "")),
        (("holdfast-none",), "holdfast-none: the program is not installed on this host"),
    ],
)
def test_attempt(argv: tuple[str, ...], outcome: Done | str) -> None:
    assert _checks.attempt(Check(argv, ".", "x")) == outcome
