# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up an artifact of the lock file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact
short_description: The version of an artifact of the lock file
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads the lock file, C(artifacts.lock.yml) of the collection if the site has none of its own.
options:
  _terms:
    description: Names of artifacts.
    type: list
    elements: str
    required: true
  lock:
    description: Another lock file than the collection's.
    type: path
    vars:
      - name: mirror_lock
seealso:
  - module: holdfast.platform.artifact
  - plugin: holdfast.platform.image
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show which version of Kubernetes there is
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.artifact', 'kubernetes') }}"
"""

RETURN = r"""
_raw:
  description: The version of each artifact.
  type: list
  elements: str
  sample: ["1.36.3"]
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.artifact', name)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the versions."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            lock = _artifact_lock.load(Path(self.get_option("lock") or _artifact_lock.LOCK))
            return [artifact.version for artifact in lock.chosen(map(str, terms))]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
