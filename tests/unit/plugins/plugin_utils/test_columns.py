# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.platform.plugins.plugin_utils._columns import aligned


def test_columns_stand_below_each_other_and_lines_end_where_their_texts_do() -> None:
    assert aligned([("name", "age", "why"), ("a", "10 d", ""), ("long one", "", "x")]) == [
        "name      age   why",
        "a         10 d",
        "long one        x",
    ]
    assert aligned([]) == []
