# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done
from ansible_collections.holdfast.platform.plugins.module_utils._ssh_host_keys import (
    Wanted,
    choose,
    judge,
    place,
    unwanted,
)

FIRST = ["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ed25519_key"]
ONE, TWO = ([f"/etc/ssh/holdfast/{name}/ssh_host_ed25519_key"] for name in ("one", "two"))


@pytest.mark.parametrize(
    ("listed", "made", "wanted", "expected"),
    [
        pytest.param(FIRST, {}, Wanted("zero"), {"zero": FIRST}, id="never rotated"),
        pytest.param(FIRST, {"one": ONE}, Wanted("zero", next="one"), {"zero": FIRST, "one": ONE}, id="made"),
        pytest.param([*FIRST, *ONE], {"one": ONE}, Wanted("zero", next="one"), {"zero": FIRST, "one": ONE}, id="added"),
        pytest.param(
            [*FIRST, *ONE], {"one": ONE}, Wanted("one", previous="zero"), {"one": ONE, "zero": FIRST}, id="switched"
        ),
        pytest.param([*ONE, *FIRST], {"one": ONE}, Wanted("one"), {"one": ONE}, id="retired"),
        pytest.param(
            [*ONE, *FIRST], {"one": ONE}, Wanted("zero", previous="one"), {"zero": FIRST, "one": ONE}, id="goes back"
        ),
        pytest.param([*FIRST, *ONE], {"one": ONE}, Wanted("zero"), {"zero": FIRST}, id="gone back"),
        pytest.param(
            ONE, {"one": ONE, "two": TWO}, Wanted("one", next="two"), {"one": ONE, "two": TWO}, id="the second time"
        ),
        pytest.param(ONE, {"one": ONE}, Wanted("two"), {"two": ONE}, id="away during a rotation"),
        pytest.param(FIRST, {}, Wanted("two", previous="one"), {"two": FIRST}, id="new in the middle of one"),
        pytest.param([], {}, Wanted("zero"), {}, id="no sshd yet"),
    ],
)
def test_which_files_belong_to_which_generation(
    listed: list[str], made: dict[str, list[str]], wanted: Wanted, expected: dict[str, list[str]]
) -> None:
    found = choose(listed, made, wanted)
    assert found == expected
    assert list(found) == list(expected)  # sshd shows the first one of a type


def test_what_sshd_does_not_know_of_goes() -> None:
    assert unwanted([*FIRST, *ONE], ONE) == sorted(FIRST)
    assert unwanted(ONE, [*FIRST, *ONE]) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("nobody@10.77.1.11: Permission denied (publickey).", ""),
        ("Host key verification failed.", "Host key verification failed."),
        ("ssh: connect to host 10.77.1.11 port 22: Connection refused", "Connection refused"),
        ("", "ssh ended with 255"),
    ],
)
def test_a_key_is_proved_when_the_login_is_refused(said: str, expected: str) -> None:
    assert judge(Done(255, "", said)).endswith(expected)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (["[::]:22", "0.0.0.0:22"], ("127.0.0.1", "22")),
        (["[::]:2022"], ("::1", "2022")),
        (["10.77.1.11:22"], ("10.77.1.11", "22")),
        (["[fd00::1]:22"], ("fd00::1", "22")),
    ],
)
def test_where_a_client_of_this_host_finds_sshd(listen: list[str], expected: tuple[str, str]) -> None:
    assert place(listen) == expected
