# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take existing values into the site's secret store."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import is_encrypted
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _secret_import, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    declared_policies,
    open_store,
    passwords,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    split_path,
    update,
)

ARGUMENTS = {
    "file": {"type": "path", "required": True},
    "replace": {"type": "bool", "default": False},
    "extra": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.secrets_import`."""

    BYPASS_HOST_LOOP = True  # once for a play
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the file, find out what it changes, and change that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        file = Path(given["file"])
        try:
            extra = json.loads(json.dumps(given["extra"]))  # plain texts
            policies: dict[str, Policy | None] = {
                f"{owner}/{name}": policy
                for owner, declared in declared_policies(variables["groups"], extra).items()
                for name, policy in declared.items()
            }
            policies |= {f"{_site_ca.OWNER}/{name}": None for name in (*_site_ca.ROOT, *_site_ca.INTERMEDIATE)}
            values = self._values(file, variables, policies)
            _secret_import.check(values, policies, str(file))
            made, replaced = self._take_in(values, policies, variables, replace=given["replace"])
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error
        if file.stat().st_mode & 0o077:
            result.setdefault("warnings", []).append(f"{file}: others can read it; remove it, or chmod 600")
        changes = {"created": made, "replaced": replaced}
        result.update(changed=bool(made or replaced), **changes)
        result["unchanged"] = sorted(values.keys() - {*made, *replaced})
        if result["changed"]:
            after = "".join(f"{path} {change}\n" for change, paths in changes.items() for path in paths)
            result["diff"] = {"before": "", "after": after, "after_header": "secrets imported"}
        return result

    def _values(
        self, file: Path, variables: Mapping[str, Any], policies: Mapping[str, Policy | None]
    ) -> dict[str, str]:
        library = passwords(variables, self._templar, self._loader)

        def decrypt(text: str | bytes) -> str:
            try:
                return bytes(library.library(file).decrypt(text)).decode()
            except (AnsibleError, UnicodeDecodeError):
                raise SecretsError(f"{file}: none of the vault passwords opens it; nothing was changed") from None

        try:
            data = file.read_bytes()
            text = decrypt(data) if is_encrypted(data) else data.decode()
        except OSError as error:
            raise SecretsError(f"{file}: can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretsError(f"{file}: is no text in UTF-8") from None
        return _secret_import.parse(text, str(file), policies, decrypt)

    def _take_in(
        self,
        values: Mapping[str, str],
        policies: Mapping[str, Policy | None],
        variables: Mapping[str, Any],
        *,
        replace: bool,
    ) -> tuple[list[str], list[str]]:
        """Change the store, all owners or, when something is wrong, none. Returns what was made, and replaced."""
        store = open_store(variables, self._templar, self._loader)
        site = str(self._templar.template(variables.get("site_name")) or "holdfast")
        now = datetime.now(UTC)
        owners: dict[str, dict[str, str]] = {}
        for path, value in values.items():
            owner, name = split_path(path)
            owners.setdefault(owner, {})[name] = value

        def changed(owner: str, held: MutableMapping[str, Secret]) -> tuple[list[str], list[str]]:
            done = _secret_import.take_in(held, owner, owners[owner], policies, now)
            if done[1] and not replace:
                raise SecretsError(
                    f"{', '.join(done[1])}: there already, with another value, which services use; nothing was "
                    "changed. To replace it with the file's: secrets_import_replace=true"
                )
            if owner == _site_ca.OWNER:
                _site_ca.fill_authority(dict(held), site, now)  # does it fit together?
            return done

        done = {owner: changed(owner, dict(store.read(owner))) for owner in sorted(owners)}
        if not self._task.check_mode:  # all of them can be
            done = {owner: update(store, owner, partial(changed, owner)) for owner in done}
        return [path for made, _ in done.values() for path in made], [path for _, new in done.values() for path in new]
