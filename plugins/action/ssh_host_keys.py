# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the host keys of sshd: the controller's half, which knows the generations' names and keeps its known hosts."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _known_hosts
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

OWNER, NAME = "base", "ssh_host_keys"
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "tried", "served", "trimmed"], "default": "present"},
    "known_hosts": {"type": "list", "elements": "path", "default": []},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.ssh_host_keys`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host, and let the controller's files follow."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        state, check = arguments["state"], bool(self._task.check_mode)
        files = [Path(file).expanduser() for file in arguments["known_hosts"]]
        if missing := [file for file in files if not file.is_file()]:
            raise AnsibleActionFail(f"known_hosts: {missing[0]} is not there; make it with a line for each host")
        generations = self._generations(task_vars or {}, check=check)
        done = self._execute_module(
            module_args={"state": state, "generations": generations}, task_vars=task_vars
        )  # fmt: skip
        if done.get("failed"):
            return {**result, **done}
        try:
            changed = self._follow(state, files, done)
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename}: can't be kept up with the host's keys: {error}") from error
        return {**result, **done, "known_hosts": changed, "changed": done["changed"] or bool(changed)}

    def _generations(self, variables: dict[str, Any], *, check: bool) -> dict[str, str]:
        """The names of the generations: of what a value is no part of it can be seen."""
        try:
            store = open_store(variables, self._templar, self._loader)
            secret = store.read(OWNER).get(NAME)
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        if secret is None:
            if check:
                return {"current": "none"}
            raise AnsibleActionFail(
                f"{OWNER}/{NAME}: is not in {store.describe(OWNER)}; the task holdfast.platform.secrets"
            )
        versions = {"current": secret.current, "next": secret.next, "previous": secret.previous}
        return {
            version: hashlib.sha256(value.encode()).hexdigest()[:12] for version, value in versions.items() if value
        }

    def _follow(self, state: str, files: Sequence[Path], done: dict[str, Any]) -> list[str]:
        """Keep files of known hosts up with the keys of this host. Returns those that were changed; raises OSError."""
        if state not in ("present", "trimmed"):
            return []
        keys: Collection[str] = done["public_keys"]
        change = _known_hosts.learn if state == "present" else _known_hosts.forget
        found = dict.fromkeys(file.resolve() for file in (*self._read(), *files) if file.is_file())
        return [str(file) for file in found if change(file, keys, check=bool(self._task.check_mode))]

    def _read(self) -> list[Path]:
        """The files of the user that the connection to this host reads."""
        if "ssh" not in self._connection.transport:
            return []
        option = self._connection.get_option
        arguments = [
            part
            for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")
            for part in shlex.split(option(name) or "")
        ]
        argv = [option("ssh_executable") or "ssh", *arguments, "-G", str(option("host"))]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        named = next((line for line in said.splitlines() if line.startswith("userknownhostsfile ")), "")
        return [Path(file).expanduser() for file in named.split()[1:]]
