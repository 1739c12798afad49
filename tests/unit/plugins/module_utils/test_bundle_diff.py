# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff shows, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_diff as diff

TEXTS = {"one": b"one\n", "two": b"two\n", "nul": b"a\0b", "latin": b"\xe9"}


def file(sha: str, mode: int = 0o644, size: int = 4, uid: int = 0) -> dict[str, Any]:
    return {"type": "file", "sha256": sha, "size": size, "mode": mode, "uid": uid, "gid": 0}


ABSENT = {"type": "absent"}


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (ABSENT, file("one"), ("", "one\n")),
        (file("one"), file("two"), ("one\n", "two\n")),
        (file("one"), ABSENT, ("one\n", "")),
        ({"type": "link", "target": "t", "uid": 0, "gid": 0}, file("one"), ("symlink to t\n", "one\n")),
        (file("one"), file("one", 0o755), ("owner: 0\ngroup: 0\nmode: 0644\n", "owner: 0\ngroup: 0\nmode: 0755\n")),
        (ABSENT, file("one", 0o640), "content created, not shown (only its owner or group may read it)"),
        # a file that was secret, or becomes so, is not shown either
        (file("one", 0o600), file("two"), "content changes, not shown (only its owner or group may read it)"),
        (file("one"), file("two", 0o600), "content changes, not shown (only its owner or group may read it)"),
        (file("one", 0o600), ABSENT, "content removed, not shown (only its owner or group may read it)"),
        (ABSENT, file("nul"), "content created, not shown (binary)"),
        (file("one"), file("latin"), "content changes, not shown (binary)"),
        (file("one"), file("not there"), "content changes, not shown (too large)"),
    ],
)
def test_show(before: dict[str, Any], after: dict[str, Any], shown: str | tuple[str, str]) -> None:
    first = diff.show("/p", before, after, TEXTS)[0]
    if isinstance(shown, str):
        assert first == {"prepared": f"/p: {shown}\n"}
    else:
        assert (first["before"], first["after"]) == shown


def test_attributes_follow_the_content() -> None:
    entries = diff.show("/p", file("one", uid=1), file("two", 0o600), TEXTS)
    assert list(entries[0]) == ["prepared"]
    assert entries[1]["after"].endswith("mode: 0600\n")


@pytest.mark.parametrize(
    ("text", "secret", "masked"),
    [
        ("nothing of it", b"password = hunter22", "nothing of it"),
        ("line 3: password = hunter22", b"password = hunter22", "line 3: ********"),
        ("bad value hunter22", b"password: 'hunter22'", "bad value ********"),
        ("bad value hunter22", b"password hunter22;", "bad value ********"),
        ("in /etc/x/key.pem", b"key = /etc/x/key.pem", "in /etc/x/key.pem"),
        ("on line 5 on", b"ssl = on", "on line 5 on"),
        ("md5abcdef", b'"app" "md5abcdef"', "********"),
    ],
)
def test_mask(text: str, secret: bytes, masked: str) -> None:
    assert diff.mask(text, [secret]) == masked
