# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install programs that the distribution does not package: the controller's half, which has the mirror."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _mirror
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError

ARGUMENTS = {
    "names": {"type": "list", "elements": "str", "required": True},
    "url": {"type": "str"},
    "keep": {"type": "int", "default": 2},
    "directory": {"type": "path"},
    "lock": {"type": "path"},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.artifact`."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Tell the host what the mirror has; bring what it lacks, and ask again."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        url = given["url"] or ""
        if url and not re.match(r"https?://", url):
            raise AnsibleActionFail(f"url ({url}): must begin with http:// or https://")
        if given["keep"] < 1:
            raise AnsibleActionFail(f"keep ({given['keep']}): the version in use always stays; give 1 or more")
        directory = Path(given["directory"]) if given["directory"] else _mirror.default()
        try:
            lock = _artifact_lock.load(Path(given["lock"]) if given["lock"] else _artifact_lock.LOCK)
            wanted, files = _mirror.offers(directory, lock.chosen(given["names"]), url)
        except InvalidError as error:
            raise AnsibleActionFail(str(error)) from error
        try:
            done = self._ask(given, wanted, {}, task_vars)
            if done.get("ask") and not self._task.check_mode and not done.get("failed"):
                brought = {digest: self._bring(files[digest], digest) for digest in done["ask"]}
                done = self._ask(given, wanted, brought, task_vars)
                result["round_trips"] = 2 + len(brought)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        done.pop("ask", None)
        return {**result, **done}

    def _ask(
        self, given: dict[str, Any], wanted: list[dict[str, Any]], files: dict[str, str], variables: Any
    ) -> dict[str, Any]:
        arguments = {"names": given["names"], "keep": given["keep"], "payload": {"wanted": wanted, "files": files}}
        done: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        return done

    def _bring(self, file: Path, digest: str) -> str:
        """Transfer a file to where the host's half of this module may read it; the name there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = str(self._connection._shell.join_path(self._connection._shell.tmpdir, f"{digest}.tar"))
        self._transfer_file(str(file), remote)
        return remote
