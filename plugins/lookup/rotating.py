# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up which secrets this run is rotating."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rotating
short_description: The secrets that a service has to do with whose rotation is at a phase, in the hands of this run
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - What the verb C(rotate) of a role works on, as C(owner/name), the service's own and those with which other services
    log in to it (C(uses) of their descriptors). Values are never part of it.
options:
  _terms:
    description: The service, and the phase.
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

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.rotating', owner, phase)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return a list that holds the list."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 2 or terms[1] not in _rotation.PHASES:
            raise AnsibleError(f"rotating: give a service, and one of the phases {', '.join(_rotation.PHASES)}")
        service, phase = map(str, terms)
        try:
            store = open_store(variables or {}, self._templar, self._loader)
            uses = [use for one in _catalogue.load(check=False).services.values() for use in one.uses]
            held = {f"{service}/{name}": secret for name, secret in store.read(service).items()}
            for use in uses:
                if use.of == service and use.secret in (secrets := store.read(use.service)):
                    held[f"{use.service}/{use.secret}"] = secrets[use.secret]
            return [[path for path, secret in held.items() if _rotation.at(secret, phase, _controller.name())]]
        except (SecretsError, InvalidError) as error:
            raise AnsibleError(str(error)) from error
