# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the packages of the host's services."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guarded_packages
short_description: The packages that only a service's own upgrade may change
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Asks the catalogue for the packages of the services on the current host, so that automatic updates leave them out.
options:
  _terms:
    description: None is taken.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show what automatic updates leave out
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.guarded_packages') }}"
"""

RETURN = r"""
_raw:
  description: One item, which is the sorted list of regular expressions that match package names.
  type: list
  elements: list
  sample: [[etcd-.*, patroni]]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.guarded_packages')`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return a list that holds the list of expressions."""
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleError("give no terms: the services are those of the current host")
        groups = (variables or {}).get("group_names", ())
        try:
            services = _catalogue.load(check=False).placed(groups)
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
        return [sorted({package for service in services for package in service.packages})]
