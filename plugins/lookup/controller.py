# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up which run this is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: controller
short_description: Which run this is, for people and for locks
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Names the user, the machine and the process of the run. It is the same for all hosts and tasks of one run.
options:
  _terms:
    description: Nothing.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show who runs this
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.controller') }}"
"""

RETURN = r"""
_raw:
  description: One text, such as V(alice@laptop, process 4711).
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _controller


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.controller')`."""

    def run(self, *_: Any, **__: Any) -> list[str]:
        """Return a list that holds the text."""
        return [_controller.name()]
