#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_move
short_description: Move the site's secrets to the other backend
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Copies all secrets, with every version, policy and journal, from Ansible Vault files to a key-value server or
    back, reads the copy, and fails unless it equals what is still in the first place.
  - The first place is not touched, unless O(remove) says so, and then only afterwards. A move that was killed is
    begun again.
  - Runs once for a play, on the controller, and connects to no host.
  - Which backend runs use is not changed. That is the variable V(secrets_backend).
attributes:
  check_mode:
    description: Reports which owners' secrets would be moved.
    support: full
  diff_mode:
    description: There is no difference that could be shown.
    support: none
options:
  to:
    description: The backend that gets the secrets.
    type: str
    choices: [files, kv]
    required: true
  replace:
    description: Whether other values, which the new place has already, may be replaced.
    type: bool
    default: false
  remove:
    description: Whether the secrets are taken away from the old place when the copy is proved.
    type: bool
    default: false
seealso:
  - module: holdfast.platform.secrets
  - module: holdfast.platform.secrets_import
"""

EXAMPLES = r"""
- name: Copy everything to the key-value server that secrets_kv describes
  holdfast.platform.secrets_move:
    to: kv
"""

RETURN = r"""
moved:
  description: Owners whose secrets were written.
  type: list
  elements: str
  returned: always
  sample: [etcd, pki]
equal:
  description: Owners whose secrets were there already.
  type: list
  elements: str
  returned: always
kept:
  description: Owners that only the new place has. Their secrets are as they were.
  type: list
  elements: str
  returned: always
removed:
  description: Owners whose secrets were taken away from the old place.
  type: list
  elements: str
  returned: always
"""
