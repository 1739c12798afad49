# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up secrets of the site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: Read a secret of the site
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads the current value of a secret from the site's secret store.
  - Secrets are made by P(holdfast.platform.secrets#module) at the start of a run, never by this lookup.
  - In check mode a secret that is not there yet yields a random value of the declared shape. It is never written,
    and is the same for the whole run, so that check mode completes on a site that has never been deployed.
options:
  _terms:
    description: Secrets, each as C(owner/name).
    type: list
    elements: str
    required: true
  version:
    description:
      - Which value to read. A version that a secret does not have is an error.
      - V(others) are all but the current one, any number of them, none outside of a rotation. Use C(query) for it.
      - V(accepted) are those that a service which knows several values takes, the current one first. Use C(query), too.
    type: str
    choices: [current, previous, next, others, accepted]
    default: current
notes:
  - The secrets are in Ansible Vault files, or, with V(secrets_backend=kv), on the server that V(secrets_kv) describes.
  - The directory is the variable V(secrets_dir) (default C(secrets) in the inventory's directory).
    The vault password is the one of the run, or the file or program that the variable
    V(secrets_vault_password_file) names.
  - Pass values only to module options that are marked C(no_log), or into files that only their user can read.
"""

EXAMPLES = r"""
- name: Create the replication user
  community.postgresql.postgresql_user:
    name: replicator
    password: "{{ lookup('holdfast.platform.secret', 'postgresql/replication') }}"
"""

RETURN = r"""
_raw:
  description: One value for each term.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    open_store,
    read_secret,
    read_value,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """The lookup `holdfast.platform.secret`."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the values of the secrets that the terms name."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        check = self._templar.template(variables.get("ansible_check_mode", False))
        try:
            store = open_store(variables, self._templar, self._loader)
            if self.get_option("version") == "accepted":
                return [value for term in terms for value in read_secret(store, term, check=check).accepted()]
            if self.get_option("version") == "others":
                return [value for term in terms for value in read_secret(store, term, check=check).versions()[1:]]
            return [read_value(store, term, version=self.get_option("version"), check=check) for term in terms]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error
