# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._known_hosts import forget, forgotten, learn, learned

OLD, NEW, RSA, OTHER = "ssh-ed25519 OLD", "ssh-ed25519 NEW", "ssh-rsa RSA", "ssh-ed25519 OTHER"
BOTH = [OLD, NEW, RSA]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"a,10.0.0.1 {OLD} comment\n", f"a,10.0.0.1 {NEW}\n", id="the same names, no other type"),
        pytest.param(f"|1|salt=|hash= {OLD}\n[a]:22 {OLD}\n", f"|1|salt=|hash= {NEW}\n[a]:22 {NEW}\n", id="hashed"),
        pytest.param(f"a {OLD}\na {NEW}\n", "", id="known"),
        pytest.param(f"b {OTHER}\n# a {OLD}\n\n@revoked a {OLD}\n@cert-authority * {OLD}\n", "", id="nothing of it"),
    ],
)
def test_who_knows_one_key_learns_the_other(text: str, expected: str) -> None:
    assert learned(text, BOTH) == expected
    assert learned(text + expected, BOTH) == ""


def test_what_is_over_goes_and_all_else_stays() -> None:
    text = f"# mine\na {OLD}\nb {OTHER}\na {RSA}\nc {OLD}\n@revoked a {OLD}\na {NEW} comment\nz {OTHER}"
    assert forgotten(text, [NEW]) == text.replace(f"\na {OLD}", "", 1)
    assert forgotten("", [NEW]) == ""


def test_a_file_keeps_its_mode_and_gets_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"a {OLD}")
    file.chmod(0o640)
    assert learn(file, BOTH, check=True)
    assert file.read_text() == f"a {OLD}"
    assert learn(file, BOTH, check=False)
    assert file.read_text() == f"a {OLD}\na {NEW}\n"
    assert not learn(file, BOTH, check=False)
    assert forget(file, [NEW], check=True)
    assert forget(file, [NEW], check=False)
    assert not forget(file, [NEW], check=False)
    assert file.read_text() == f"a {NEW}\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]
