# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the user that a secret belongs to now."""

from __future__ import annotations

DOCUMENTATION = r"""
name: user
short_description: The user that the current value of a secret belongs to
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - For the users that services have among themselves. One whose secret alternates is C(<user>) and C(<user>_b) in turn,
    one whose secret does not is always the same.
options:
  _terms:
    description: The secret, as C(owner/name), and the user.
    type: list
    elements: str
    required: true
  all:
    description:
      - Instead of the name, a list of all users that the secret stands for, each with C(name), and C(password) when it
        may log in now; one that may not any more has C(former), the password that it had, until that is proved to be
        refused.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what replicas log in as
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.user', 'postgresql/replication', 'replicator') }}"
"""

RETURN = r"""
_raw:
  description: One item, the name or the list.
  type: list
  elements: raw
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store, read_secret
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.user', secret, user)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return a list that holds the name, or the list."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 2:
            raise AnsibleError("user: give a secret and a user")
        path, user = map(str, terms)
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            secret = read_secret(open_store(variables, self._templar, self._loader), path, check=check)
        except SecretsError as error:
            raise AnsibleError(str(error)) from error
        if self.get_option("all"):
            return [[_described(account, secret) for account in _rotation.accounts(user, secret, own=True)]]
        account = _rotation.credential(user, secret, own=True)
        return [account.user if account else user]


def _described(account: _rotation.Account, secret: Secret) -> dict[str, str]:
    if account.login and account.password is not None:
        return {"name": account.user, "password": account.password}
    return {"name": account.user} | ({"former": secret.retired} if secret.retired is not None else {})
