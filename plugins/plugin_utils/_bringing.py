# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions have in common that bring files of the mirror to a host: ask it what it lacks, bring that, go on."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _mirror
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError

ARGUMENTS: Mapping[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True},
    "url": {"type": "str"},
    "directory": {"type": "path"},
    "lock": {"type": "path"},
}


class Bringing(ActionBase):  # type: ignore[misc]
    """An action whose module gets `payload: {..., files: {sum: path}}` and answers `ask: [sum]` with what it lacks."""

    _supports_check_mode = True
    _supports_diff = True
    arguments: ClassVar[Mapping[str, Any]] = ARGUMENTS

    @abstractmethod
    def offered(
        self, given: Mapping[str, Any], lock: _artifact_lock.Lock, mirror: Path, url: str
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Path]]:
        """The module's own arguments, its payload without `files`, and the mirror's files by their sums.

        :raises InvalidError: something is named that there is not.
        :raises AnsibleActionFail: an argument has no meaning.
        """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Tell the host what the mirror has; bring what it lacks, and ask again."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(dict(self.arguments))
        url = given["url"] or ""
        if url and not re.match(r"https?://", url):
            raise AnsibleActionFail(f"url ({url}): must begin with http:// or https://")
        mirror = Path(given["directory"]) if given["directory"] else _mirror.default()
        try:
            lock = _artifact_lock.load(Path(given["lock"]) if given["lock"] else _artifact_lock.LOCK)
            arguments, payload, files = self.offered(given, lock, mirror, url)
        except InvalidError as error:
            raise AnsibleActionFail(str(error)) from error
        try:
            done = self._ask(arguments, payload, {}, task_vars)
            if done.get("ask") and not self._task.check_mode and not done.get("failed"):
                brought = {digest: self._bring(files[digest], digest) for digest in done["ask"]}
                done = self._ask(arguments, payload, brought, task_vars)
                result["round_trips"] = 2 + len(brought)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        done.pop("ask", None)
        return {**result, **done}

    def _ask(
        self, arguments: dict[str, Any], payload: dict[str, Any], files: dict[str, str], variables: Any
    ) -> dict[str, Any]:
        whole = {**arguments, "payload": {**payload, "files": files}}
        done: dict[str, Any] = self._execute_module(module_args=whole, task_vars=variables)
        return done

    def _bring(self, file: Path, digest: str) -> str:
        """Transfer a file to where the host's half of this module may read it; the name there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = str(self._connection._shell.join_path(self._connection._shell.tmpdir, f"{digest}.tar"))
        self._transfer_file(str(file), remote)
        return remote
