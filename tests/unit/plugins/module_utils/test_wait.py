# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, with a clock that is made up."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._wait import Clock, until


@pytest.mark.parametrize(
    ("answers", "last", "at"),
    [([""], "", 0), (["no", "not yet", ""], "", 2), (["no"] * 9, "no", 5)],
    ids=["nothing to wait for", "in time", "too late"],
)
def test_until_there_is_no_reason_left(answers: list[str], last: str, at: float) -> None:
    times = [0.0]
    clock = Clock(lambda: times[-1], lambda seconds: times.append(times[-1] + seconds))
    assert until(lambda: answers.pop(0), 5, 1, clock) == last
    assert times[-1] == at
