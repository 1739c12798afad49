# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _witness

ONE, TWO = "1" * 64, "2" * 64


def test_heads_stay(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    assert _witness.read(root) == {}
    assert _witness.keep("abc", 1, ONE, root)
    assert not _witness.keep("abc", 1, ONE, root)
    assert _witness.keep("abc", 1, TWO, root), "another record of the same number is what a forger leaves"
    assert _witness.keep("def", 7, TWO, root)
    assert _witness.read(root) == {"abc": [[1, ONE], [1, TWO]], "def": [[7, TWO]]}
    assert (root / "abc").stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    _witness.keep("abc", 1, ONE, tmp_path)
    with (tmp_path / "abc").open("a", encoding="ascii") as file:
        file.write("2 22")
    assert _witness.keep("abc", 2, TWO, tmp_path)
    assert _witness.read(tmp_path) == {"abc": [[1, ONE], [2, TWO]]}
