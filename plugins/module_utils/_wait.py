# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until nothing speaks against going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Reasons = TypeVar("Reasons", str, "list[str]")


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need none."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL = Clock()


def until(look: Callable[[], Reasons], seconds: float, pause: float = 0.3, clock: Clock = REAL) -> Reasons:
    """Look until there is no reason to wait any more or seconds are over, with a pause (seconds) between two looks.

    Returns the last reasons, empty when there were none.
    """
    end = clock.now() + seconds
    while True:
        reasons = look()
        if not reasons or clock.now() >= end:
            return reasons
        clock.sleep(pause)
