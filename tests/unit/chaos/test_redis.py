# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in sync means for Redis."""

from __future__ import annotations

import pytest

from tests.chaos.services.redis import judge_members

ADDRESSES = {"a": "10.0.0.1", "b": "10.0.0.2"}
TOLD = {"a": "a", "b": "a"}
FACTS = {"a": {"role": "master"}, "b": {"role": "slave", "master_host": "10.0.0.1", "master_link_status": "up"}}


@pytest.mark.parametrize(
    ("told", "facts", "trouble"),
    [
        (TOLD, FACTS, ""),
        (TOLD | {"b": ""}, FACTS, "the Sentinels of b do not answer"),
        (TOLD | {"b": "b"}, FACTS, "the Sentinels disagree: {'a': 'a', 'b': 'b'}"),
        (TOLD, FACTS | {"a": {}}, "a is to lead and does not"),
        (TOLD, FACTS | {"b": FACTS["b"] | {"master_link_status": "down"}}, "b does not follow a"),
    ],
)
def test_in_sync(told: dict[str, str], facts: dict[str, dict[str, str]], trouble: str) -> None:
    assert judge_members(told, facts, ADDRESSES) == trouble
