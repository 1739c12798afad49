# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a directory with the artifacts that hosts install."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.module_utils import _elf
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _mirror
from ansible_collections.holdfast.platform.plugins.plugin_utils._columns import aligned
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError

ARGUMENTS = {
    "state": {"type": "str", "choices": ["filled", "listed"], "default": "filled"},
    "source": {"type": "str", "choices": ["release", "build"], "default": "release"},
    "names": {"type": "list", "elements": "str", "default": []},
    "architecture": {"type": "str", "choices": list(_artifact_lock.ARCHITECTURES)},
    "directory": {"type": "path"},
    "lock": {"type": "path"},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.mirror`."""

    BYPASS_HOST_LOOP = True  # once for a play
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the lock file, make what is missing, tell where all of it comes from."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        directory = Path(given["directory"]) if given["directory"] else _mirror.default()
        begun = time.monotonic()

        def say(text: str) -> None:
            self._display.display(f"[{time.monotonic() - begun:6.1f} s] {text}")

        try:
            lock = _artifact_lock.load(Path(given["lock"]) if given["lock"] else _artifact_lock.LOCK)
            artifacts = lock.chosen(name for name in given["names"] if name)
            architecture = given["architecture"] or _elf.KERNEL[platform.machine()]
            mirror = _mirror.Mirror(directory, architecture, given["source"], say)
            missing = mirror.missing(artifacts)
            filling = given["state"] == "filled"
            if filling and not self._task.check_mode:
                mirror.fill(artifacts)
            rows = mirror.listed(artifacts)
        except (InvalidError, Failed, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(
            changed=filling and bool(missing),
            directory=str(directory),
            made=missing if filling else [],
            downloads=rows,
            table=aligned(
                [[row[name].upper() if row is HEAD else row[name] for name in HEAD] for row in (HEAD, *rows)]
            ),
        )
        return result


HEAD = {name: name for name in ("artifact", "version", "url", "sum")}
