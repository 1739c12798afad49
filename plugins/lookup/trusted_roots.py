# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up whom hosts trust."""

from __future__ import annotations

DOCUMENTATION = r"""
name: trusted_roots
short_description: The certificates of the roots that the site's hosts trust
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - The root of the site's CA; while the CA is rotated, that of the new one beside it.
  - In check mode, on a site that was never deployed, a text of no meaning that is never written.
options:
  _terms:
    description: None is taken.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show whom hosts trust
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.trusted_roots') }}"
"""

RETURN = r"""
_raw:
  description: One item, PEM certificates one after the other.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store, read_value
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.trusted_roots')`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the roots as one text."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if terms:
            raise AnsibleError("give no terms: the roots are those of the whole site")
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            store = open_store(variables, self._templar, self._loader)
            authority = _site_ca.authority_of(store.read(_site_ca.OWNER))
            alone = f"{_site_ca.OWNER}/{_site_ca.ROOT[0]}"
            return [authority.bundle if authority else read_value(store, alone, check=check)]
        except (SecretsError, _pki.PkiError) as error:
            raise AnsibleError(str(error)) from error
