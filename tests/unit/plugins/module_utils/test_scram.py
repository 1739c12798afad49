# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the SCRAM verifiers. The integration tests check them against libpq and a real server."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _scram

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
#: The exchange of RFC 7677 section 3: user `user`, password `pencil`, 4096 iterations.
RFC7677 = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_make_gives_the_verifier_of_the_rfc() -> None:
    assert str(_scram.make("pencil", salt=SALT)) == RFC7677


def test_make_takes_a_new_salt_each_time() -> None:
    assert _scram.make("pencil") != _scram.make("pencil")


def test_parse_reads_what_make_writes() -> None:
    verifier = _scram.make("a password", iterations=10000)
    assert _scram.parse(str(verifier)) == verifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pencil",
        "md5a3556571e93b0d20722ba62be61e8c2d",
        RFC7677[:-1],
        RFC7677 + "x",
        RFC7677.replace("4096", "0"),
        RFC7677.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        RFC7677.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "===="),
        RFC7677.replace("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "AAAA"),
    ],
)
def test_parse_refuses_everything_else(text: str) -> None:
    assert _scram.parse(text) is None


@pytest.mark.parametrize(
    ("stored", "wanted", "same"),
    [
        (RFC7677, "pencil", True),
        (RFC7677, "pencils", False),
        (RFC7677, RFC7677, True),
        (str(_scram.make("pencil")), RFC7677, False),
        (str(_scram.make("pencil", iterations=20000)), "pencil", True),
        (None, "pencil", False),
        ("md5a3556571e93b0d20722ba62be61e8c2d", "pencil", False),
        ("pencil", "pencil", False),
    ],
)
def test_matches(stored: str | None, wanted: str, same: bool) -> None:
    assert _scram.matches(stored, wanted) is same


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("pencil", "pencil"),
        ("I\u00adX", "IX"),  # RFC 4013 section 3, example 1: soft hyphen mapped to nothing
        ("user", "user"),  # example 2
        ("USER", "USER"),  # example 3: case stays
        ("\u00aa", "a"),  # example 4: NFKC
        ("\u2168", "IX"),  # example 5
        ("\u0627\u0031", "\u0627\u0031"),  # example 7: wrong in both directions, so it is used as it is
        ("a\u00a0b", "a b"),  # a space that is not ASCII
        ("a\u200bb", "a b"),  # in both tables: PostgreSQL looks at spaces first
        ("\u00ad", "\u00ad"),  # nothing would be left
        ("pa\u0308ss", "p\u00e4ss"),
        ("bell\u0007", "bell\u0007"),  # ASCII is never prepared
        ("\u00e4\u0007", "\u00e4\u0007"),  # a prohibited character: used as it is
        ("\u0221\u00e4", "\u0221\u00e4"),  # not assigned in Unicode 3.2: used as it is
        ("\u0627\u00ab\u0628", "\u0627\u00ab\u0628"),
    ],
)
def test_prepare(password: str, prepared: str) -> None:
    assert _scram.prepare(password) == prepared.encode()
