# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up what programs of a host log in with."""

from __future__ import annotations

DOCUMENTATION = r"""
name: credentials
short_description: User, password and servers for the programs of a host
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Completes a list of credentials as M(holdfast.platform.credentials) takes it. Each entry names a secret of the
    site; user, password and, for a service whose descriptor has the key C(login), its servers are filled in.
  - The user of a secret that alternates is C(user) with C(_a) or C(_b), the one that belongs to the version. With
    C(own), for users that services have among themselves, they are C(user) and C(user_b).
  - An entry with a C(login) of its own keeps it.
options:
  _terms:
    description: The list of credentials.
    type: list
    elements: list
    required: true
  phase:
    description:
      - Only the credentials whose rotation is at this phase, in the hands of this run.
    type: str
    choices: [added, verified, switched, drained, retired]
  version:
    description: Which value. An entry whose secret does not have it is left out.
    type: str
    choices: [current, next, retired]
    default: current
"""

EXAMPLES = r"""
- name: Lay down what the programs of this host log in with
  holdfast.platform.credentials:
    credentials: "{{ lookup('holdfast.platform.credentials', credentials_files) }}"
"""

RETURN = r"""
_raw:
  description: One item, which is the list.
  type: list
  elements: list
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    open_store,
    read_secret,
    site_secrets,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError, split_path

CA = "/etc/holdfast/ca.crt"  # role base


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.credentials', list)`."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """Return a list that holds the list."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        phase, version = self.get_option("phase"), self.get_option("version")
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        found = []
        try:
            store = open_store(variables, self._templar, self._loader)
            extra = site_secrets(variables, self._templar)
            for number, entry in enumerate(terms[0] if len(terms) == 1 else terms):
                path = _path(entry, f"credentials[{number}]")
                secret = read_secret(store, path, extra, check=check)
                if phase and not _rotation.at(secret, phase, _controller.name()):
                    continue
                user, own = str(entry.get("user") or split_path(path)[1]), bool(entry.get("own"))
                account = _rotation.credential(user, secret, version, own=own)
                if account:
                    account_of = {"user": account.user, "password": account.password}
                    kept = {key: value for key, value in entry.items() if key != "own"} | account_of
                    found.append(kept if "login" in kept else self._with_login(kept, path, variables))
        except (SecretsError, InvalidError) as error:
            raise AnsibleError(str(error)) from error
        return [found]

    def _with_login(self, entry: dict[str, Any], path: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The entry with the servers that take the credential, when its owner says where clients log in."""
        owner, _ = split_path(path)
        catalogue = _catalogue.load(check=False)
        service = catalogue.services.get(owner)
        if service is None or service.login is None:
            return entry
        inventory = Inventory(variables, self._templar)
        login = {
            "kind": owner,
            "name": f"{owner}.{inventory.setting('site_domain', 'internal')}",
            "hosts": [host["address"] for host in inventory.hosts(owner, catalogue)],
            "port": catalogue.port(owner, service.login.port, inventory.overrides()),
            "ca": CA,
            "database": entry.get("database", ""),
        }
        return {key: value for key, value in entry.items() if key != "database"} | {"login": login}


def _path(entry: Any, where: str) -> str:
    if not isinstance(entry, Mapping) or not entry.get("secret"):
        raise SecretsError(f"{where}.secret: has to name a secret, <owner>/<name>")
    return str(entry["secret"])
