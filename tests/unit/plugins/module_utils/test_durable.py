# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _durable


def test_a_file_is_replaced_as_a_whole_and_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    (tmp_path / ".record.json.new").write_text("half of a longer one")
    _durable.write(path, "one")
    _durable.write(path, "two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _durable.write(tmp_path / "missing" / "record.json", "one")
