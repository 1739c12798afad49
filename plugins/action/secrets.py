# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the secrets of the site that are missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import declared_policies, open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    Store,
    fill,
    update,
)

ARGUMENTS = {"extra": {"type": "dict", "default": {}}}


class ActionModule(ActionBase):
    """Action `holdfast.platform.secrets`."""

    BYPASS_HOST_LOOP = True  # once for a play
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make what is missing and report the names."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        now = datetime.now(UTC)
        try:
            extra = json.loads(json.dumps(arguments["extra"]))  # plain texts: the store's YAML knows no others
            declared = declared_policies(variables["groups"], extra)
            store = open_store(variables, self._templar, self._loader)
            site = str(self._templar.template(variables.get("site_name")) or "holdfast")
            created: list[str] = []
            changed = False
            for owner in sorted({*declared, _site_ca.OWNER}):
                made, written = _make(store, owner, declared.get(owner, {}), site, now, check=self._task.check_mode)
                created += [f"{owner}/{name}" for name in made]
                changed = changed or written
            authority = _site_ca.authority_of(store.read(_site_ca.OWNER))
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        if authority and _pki.certificate_due(authority.intermediate.certificate, now):
            result.setdefault("warnings", []).append(
                "pki/intermediate_certificate: two thirds of its life are over; make rotate SECRET=pki/intermediate"
            )
        result.update(changed=changed, created=created)
        if created:
            result["diff"] = {
                "before": "",
                "after": "".join(f"{path}\n" for path in created),
                "after_header": "secrets made",
            }
        return result


def _make(
    store: Store, owner: str, declared: Mapping[str, Policy], site: str, now: datetime, *, check: bool
) -> tuple[list[str], bool]:
    """Make an owner's missing secrets. Returns their names and whether anything was, or would be, written.

    Looks first and locks only when there is something to do: runs that change nothing never wait for each other.
    """
    trial = dict(store.read(owner))
    before = dict(trial)
    made = _fill(trial, owner, declared, site, now)
    if trial == before or check:
        return made, trial != before

    def change(held: MutableMapping[str, Secret]) -> tuple[list[str], bool]:
        found = dict(held)
        return _fill(held, owner, declared, site, now), dict(held) != found

    return update(store, owner, change)


def _fill(
    held: MutableMapping[str, Secret], owner: str, declared: Mapping[str, Policy], site: str, now: datetime
) -> list[str]:
    made = fill(held, declared, now)
    if owner == _site_ca.OWNER:
        made += _site_ca.fill_authority(held, site, now)
    return sorted(made)
