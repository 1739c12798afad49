# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is packed comes out again, and what was damaged is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_wire as wire


@pytest.mark.parametrize("texts", [[], [b""], [b"one", b"\x00\xff" * 1000], [bytes([n]) * n for n in range(50)]])
def test_what_is_packed_comes_out(texts: list[bytes], tmp_path: Path) -> None:
    contents = [wire.Content.of_bytes(text) for text in texts]
    request, found = wire.unpack(wire.pack({"name": "n", "umlaut": "\u00fc"}, contents))
    assert request == {"name": "n", "umlaut": "\u00fc"}
    assert [found[content.sha256].read() for content in contents] == texts
    file = tmp_path / "contents"
    with file.open("wb") as stream:
        wire.write_file(stream, contents)
    found = wire.read_file(file)
    assert [found[content.sha256].read() for content in contents] == texts


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "eJwDAAAAAAE="])
def test_damaged_payloads(text: str) -> None:
    with pytest.raises(ValueError, match="damaged on its way"):
        wire.unpack(text)


def test_damaged_contents(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"right")
    content = wire.Content.of_file(path)
    for text in (b"wrong", b"cut"):
        path.write_bytes(text)
        with pytest.raises(wire.Damaged, match=content.sha256), (tmp_path / "copy").open("wb") as stream:
            content.copy_to(stream)


def test_links_are_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        wire.hash_file(tmp_path / "link")
