# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up which secrets this run is rotating."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rotating
short_description: The secrets of an owner whose rotation is at a phase, in the hands of this run
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - What the verb C(rotate) of a role works on. Values are never part of it.
options:
  _terms:
    description: The owner, and the phase.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what this run rotates
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.rotating', 'postgresql', 'added') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of the secrets' names.
  type: list
  elements: list
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.rotating', owner, phase)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return a list that holds the list."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 2 or terms[1] not in _rotation.PHASES:
            raise AnsibleError(f"rotating: give an owner, and one of the phases {', '.join(_rotation.PHASES)}")
        owner, phase = map(str, terms)
        try:
            store = open_store(variables or {}, self._templar, self._loader)
            return [
                [name for name, secret in store.read(owner).items() if _rotation.at(secret, phase, _controller.name())]
            ]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error
