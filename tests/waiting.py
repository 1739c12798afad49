# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests wait for what real hosts need time for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.lab.machine import LabError


def eventually(check: Callable[[], Any], seconds: float, what: str, pause: float = 1) -> Any:
    """Wait until check gives something true, and return it. That a host or a cluster has no answer yet is no answer.

    Raises AssertionError with the last reason after so many seconds. pause: seconds between two looks.
    """
    end = time.monotonic() + seconds
    while True:
        reason: object = ""
        try:
            if result := check():
                return result
        except (LabError, LookupError, StopIteration, AssertionError, subprocess.TimeoutExpired) as error:
            reason = error
        assert time.monotonic() < end, f"not within {seconds} s: {what} {reason}"
        time.sleep(pause)
