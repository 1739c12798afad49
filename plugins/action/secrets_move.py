# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the site's secrets to the other backend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _controller, _secret_move
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import BACKENDS, open_backend
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

ARGUMENTS = {
    "to": {"type": "str", "choices": list(BACKENDS), "required": True},
    "replace": {"type": "bool", "default": False},
    "remove": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.secrets_move`."""

    BYPASS_HOST_LOOP = True  # once for a play
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, copy, compare again."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        (origin,) = (name for name in BACKENDS if name != given["to"])
        try:
            source, target = (
                open_backend(name, variables, self._templar, self._loader) for name in (origin, given["to"])
            )
            here = _secret_move.content(source)
            plan = _secret_move.plan(
                here, _secret_move.content(target), datetime.now(UTC), _controller.gone, replace=given["replace"]
            )
            if not self._task.check_mode:
                _secret_move.carry(source, target, plan, remove=given["remove"])
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(
            changed=bool(plan.copy or given["remove"]),
            moved=plan.copy,
            equal=sorted(here.keys() - set(plan.copy)),
            kept=plan.kept,
            removed=sorted(here) if given["remove"] else [],
        )
        used = str(self._templar.template(variables.get("secrets_backend")) or "files")
        if used != given["to"]:
            result["msg"] = (
                f"Set secrets_backend: {given['to']}. Until then, runs go on using '{used}', and the two differ"
            )
        return result
