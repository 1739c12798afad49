# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the roles of PostgreSQL that secrets stand for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_roles
short_description: Roles of PostgreSQL, with the passwords that it has to accept now
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Takes roles as M(holdfast.platform.postgresql_state) takes them. One with the key C(secret) gets its password from
    the site's secret store; one without it stays as it is.
  - A secret that alternates stands for two users, C(<name>_a) and C(<name>_b). In the middle of a rotation both can log
    in, otherwise the one that clients use; see P(holdfast.platform.credentials#lookup). The role itself can not, it
    has the memberships and grants, and the users act as it, unless their setting C(role) names another one, so that
    what they make belongs to neither.
  - With the key C(own), for the users that services have among themselves, they are C(<name>) and C(<name>_b), which is
    a member of C(<name>).
options:
  _terms:
    description: The mapping of roles.
    type: list
    elements: dict
    required: true
  drained:
    description:
      - Instead of the mapping, the list of those users that give way in a rotation that is at the phase V(drained), in
        the hands of this run.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Reconcile the roles
  holdfast.platform.postgresql_state:
    roles: "{{ lookup('holdfast.platform.postgresql_roles', {'orders': {'secret': 'postgresql/orders'}}) }}"
"""

RETURN = r"""
_raw:
  description: One item, the mapping of roles without C(secret); or the list.
  type: list
  elements: raw
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    open_store,
    read_secret,
    site_secrets,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError

#: What belongs to those who log in; the rest belongs to the role that they act as.
USER_KEYS = ("connection_limit", "settings", "valid_until")


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.postgresql_roles', roles)`."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, dict[str, Any]]] | list[list[str]]:
        """Return a list that holds the mapping, or the list of users."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 1 or not isinstance(terms[0], Mapping):
            raise AnsibleError("give one mapping of roles")
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            store = open_store(variables, self._templar, self._loader)
            extra = site_secrets(variables, self._templar)
            if self.get_option("drained"):
                return [_leaving(terms[0], lambda path: read_secret(store, path, extra, check=check))]
            return [_expanded(terms[0], lambda path: read_secret(store, path, extra, check=check))]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error


def _leaving(users: Mapping[str, Any], read: Callable[[str], Secret]) -> list[str]:
    secrets = {str(name): read(str(given["secret"])) for name, given in users.items() if (given or {}).get("secret")}
    mine = {name: one for name, one in secrets.items() if _rotation.at(one, "drained", _controller.name())}
    old = [
        _rotation.credential(name, secret, "previous", own=_own(users, name))
        for name, secret in sorted(mine.items())
        if _rotation.alternates(secret)
    ]
    return [account.user for account in old if account]


def _own(users: Mapping[str, Any], name: str) -> bool:
    return bool((users.get(name) or {}).get("own"))


def _expanded(users: Mapping[str, Any], read: Callable[[str], Secret]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, given in users.items():
        entry = dict(given or {})
        path, own = entry.pop("secret", None), bool(entry.pop("own", False))
        if path is None:
            found[str(name)] = entry
            continue
        if "password" in entry:
            raise SecretsError(f"{name}: has a password and the secret {path}; give one of them")
        secret = read(str(path))
        if not _rotation.alternates(secret):
            found[str(name)] = entry | {"password": secret.current}
            continue
        if own:
            for account in _rotation.accounts(str(name), secret, own=True):
                member = {} if account.user == str(name) else {"member_of": [str(name)]}
                found[account.user] = entry | member | _login(account)
            continue
        theirs = {key: entry.pop(key) for key in USER_KEYS if key in entry}
        found[str(name)] = entry | {"login": False}
        for account in _rotation.accounts(str(name), secret):
            shape = {"member_of": [str(name)], "settings": {"role": str(name), **(theirs.get("settings") or {})}}
            found[account.user] = theirs | shape | _login(account)
    return found


def _login(account: _rotation.Account) -> dict[str, Any]:
    return ({} if account.password is None else {"password": account.password}) | {"login": account.login}
