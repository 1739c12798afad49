# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps what failed, so that `make molecule` can say it last: molecule ends with destroying the hosts and a recap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: failures
type: aggregate
short_description: Keep what failed for the end
description: Appends what failed to the file that HOLDFAST_FAILURES names, if it names one.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "failures"

    def _keep(self, result: Any, ignore_errors: bool = False) -> None:
        kept = os.environ.get("HOLDFAST_FAILURES")
        if ignore_errors or not kept:
            return
        said = result._result
        # pytest marks reasons with an E; its last lines name the failed tests.
        out = said.get("stdout_lines", [])
        reasons = [line[:300] for line in out if line.startswith("E  ")]
        lines = [str(said.get("msg", "")), *reasons[:20], *out[-4:], *said.get("stderr_lines", [])[-3:]]
        scenario = os.environ.get("MOLECULE_SCENARIO_NAME", "")
        text = "\n  ".join([f"{scenario}: {result._task.get_name()} on {result._host.get_name()}", *lines])
        with Path(kept).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    v2_runner_on_failed = v2_runner_on_unreachable = _keep
