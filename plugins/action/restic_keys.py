# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let restic repositories be opened by the passphrases of today: the controller's half, which knows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

NAME = "backup"
ARGUMENTS = {
    "service": {"type": "str", "required": True},
    "settings": {"type": "path", "required": True},
    "phase": {"type": "str", "choices": list(_rotation.PHASES[1:]), "required": True},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.restic_keys`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Hand the passphrases to the host."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        service = arguments["service"]
        try:
            secret = open_store(task_vars or {}, self._templar, self._loader).read(service).get(NAME)
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        if secret is None:
            raise AnsibleActionFail(f"{service}/{NAME}: is no secret of this site")
        accepted: Sequence[str] = secret.accepted()
        payload = {"accepted": accepted, "refused": [secret.retired] if secret.retired else []}
        done = self._execute_module(module_args={**arguments, "payload": payload}, task_vars=task_vars)
        return {**result, **done}
