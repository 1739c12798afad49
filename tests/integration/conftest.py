# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests against real hosts share: the running lab that HOLDFAST_LAB names (`make lab` starts one)."""

from __future__ import annotations

import pytest

from tests.lab.machine import LabError
from tests.lab.running import PROGRAMS, ROOT, RunningLab, running

__all__ = ["PROGRAMS", "ROOT", "RunningLab"]


@pytest.fixture(scope="session")
def lab() -> RunningLab:
    """It must be up: a test that needs hosts does not pass without them."""
    try:
        return running()
    except LabError as error:
        pytest.fail(str(error))
