# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the result of the last task into the file that KEEP_RESULTS names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: keep_results
type: aggregate
short_description: Keep the last result for the tests
description: Keep the last result for the tests.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "keep_results"

    def _keep(self, result: Any, **_: Any) -> None:
        Path(os.environ["KEEP_RESULTS"]).write_text(json.dumps(result._result, default=str))

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_unreachable = _keep
