#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_import
short_description: Take existing values into the site's secret store
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads a file of passwords, keys or the parts of a CA that are in use already, and makes them the current values
    of the site's secrets, with the policies that the descriptors and O(extra) declare.
  - All of the file is checked before anything is changed. What nothing declares is refused by name.
  - Runs once for a play, on the controller, and connects to no host.
attributes:
  check_mode:
    description: Reports what would be made and replaced.
    support: full
  diff_mode:
    description: Names the secrets. Values are never shown.
    support: full
options:
  file:
    description:
      - A file on the controller, as a whole encrypted with Ansible Vault or not.
      - YAML or JSON, a mapping of owners, each with a mapping of names to values, which may be C(!vault); or lines
        C(OWNER_NAME=value).
    type: path
    required: true
  replace:
    description: Whether values that are there may be replaced. A service learns of it in the next run of the site.
    type: bool
    default: false
  extra:
    description: Secrets that no descriptor declares, as for M(holdfast.platform.secrets).
    type: dict
    default: {}
seealso:
  - module: holdfast.platform.secrets
  - module: holdfast.platform.secrets_move
"""

EXAMPLES = r"""
- name: Take in what the old site used
  holdfast.platform.secrets_import:
    file: ~/old-site.yml

# The file, or the same encrypted with ansible-vault:
#
#   postgresql:
#     superuser: its password
#   etcd:
#     root: another one
"""

RETURN = r"""
created:
  description: Names of the secrets that were not there before.
  type: list
  elements: str
  returned: always
  sample: [etcd/root]
replaced:
  description: Names of those that had another value.
  type: list
  elements: str
  returned: always
unchanged:
  description: Names of those that had this value already.
  type: list
  elements: str
  returned: always
"""
