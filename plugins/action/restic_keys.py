# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let restic repositories be opened by the passphrases of today: the controller's half, which knows them."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._passphrases import passphrases
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

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
        try:
            payload = passphrases(open_store(task_vars or {}, self._templar, self._loader), arguments["service"])
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        done = self._execute_module(module_args={**arguments, "payload": payload}, task_vars=task_vars)
        return {**result, **done}
