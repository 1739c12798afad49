# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the key that the run logs in with: its file on the controller, and logins with its versions. All of it is the
controller's: the host only answers a login.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils._deploy_key import DeployKeyError, judge, write
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError

OWNER, NAME = "base", "deploy_key"
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "accepted", "refused"], "default": "present"},
    "version": {"type": "str", "choices": ["current", "next", "retired"], "default": "current"},
    "file": {"type": "path"},
}
# Ours come first, and the first one counts; of identities all do, ours before others.
OPTIONS = [
    *("BatchMode=yes", "ControlMaster=no", "ControlPath=none", "IdentityAgent=none", "IdentitiesOnly=yes"),
    *("UpdateHostKeys=no", "LogLevel=DEBUG1", "ConnectTimeout=10", "ConnectionAttempts=3"),
]


class ActionModule(ActionBase):
    """Action `holdfast.platform.deploy_key`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the file, or log in."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS, required_if=[("state", "present", ("file",))])
        try:
            secret = self._secret(task_vars or {})
            if arguments["state"] == "present":
                if not arguments["file"]:
                    raise AnsibleActionFail(
                        "base_deploy_key_file: is not set; name the file for the key on the controller"
                    )
                file = Path(arguments["file"]).expanduser()
                result["changed"] = secret is not None and write(file, secret, check=self._task.check_mode)
                return result
            value = getattr(secret, arguments["version"], None)
            if not value:
                raise AnsibleActionFail(f"{OWNER}/{NAME}: has no {arguments['version']} value to log in with")
            taken = self._log_in(value)
        except (SecretsError, DeployKeyError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        if taken is not (arguments["state"] == "accepted"):
            raise AnsibleActionFail(
                f"{OWNER}/{NAME}: sshd {'still takes' if taken else 'does not take'} the {arguments['version']} key"
            )
        return result

    def _secret(self, variables: dict[str, Any]) -> Secret | None:
        """The key; None in check mode on a site that has none yet."""
        store = open_store(variables, self._templar, self._loader)
        secret = store.read(OWNER).get(NAME)
        if secret is None and not self._task.check_mode:
            where = store.describe(OWNER)
            raise AnsibleActionFail(f"{OWNER}/{NAME}: is not in {where}; the task holdfast.platform.secrets makes it")
        return secret

    def _log_in(self, key: str) -> bool:
        """Whether a login of its own with this key gets in. Raises DeployKeyError when that stays unknown."""
        if "ssh" not in self._connection.transport:
            raise DeployKeyError(f"a key can't be tried over a connection of the kind {self._connection.transport}")
        with tempfile.NamedTemporaryFile("w", prefix="holdfast-deploy-") as file:  # 0600
            file.write(f"{key.rstrip()}\n")
            file.flush()
            done = subprocess.run(
                self._command(file.name), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
            return judge(file.name, done.returncode, done.stderr)

    def _command(self, file: str) -> Sequence[str]:
        """The command line of the connection to this host, with another key."""
        option = self._connection.get_option
        argv = [option("ssh_executable") or "ssh"]
        argv += [part for setting in (*OPTIONS, f"IdentityFile={file}") for part in ("-o", setting)]
        for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
            argv += shlex.split(option(name) or "")
        for flag, name in (("-p", "port"), ("-l", "remote_user")):
            argv += [flag, str(option(name))] if option(name) else []
        return [*argv, str(option("host")), "true"]
