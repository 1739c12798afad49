#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_key
short_description: Keep the SSH key that the run logs in with
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The key is the secret C(base/deploy_key). This runs on the controller alone; the host is logged in to.
attributes:
  check_mode:
    support: full
    description: Writes nothing. Logins change nothing in any case.
  diff_mode:
    support: none
    description: A difference of keys would show them.
options:
  state:
    description:
      - V(present) writes the key to O(file), mode 0600. It fails when that holds a key which is none of the secret's.
      - V(accepted) fails unless a login of its own with the key gets in, by way of all settings of the connection.
      - V(refused) fails unless the server refuses the key. A server that does not answer has refused nothing.
    type: str
    choices: [present, accepted, refused]
    default: present
  version:
    description: The version of the secret to log in with.
    type: str
    choices: [current, next, retired]
    default: current
  file:
    description: File on the controller, the one that C(ansible_ssh_private_key_file) names.
    type: path
notes:
  - Logins need a connection of the kind C(ssh).
seealso:
  - module: holdfast.platform.ssh_host_keys
"""

EXAMPLES = r"""
- name: Use the key of today
  holdfast.platform.deploy_key:
    file: ~/.ssh/north
  run_once: true
"""

RETURN = r"""#"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "accepted", "refused"], "default": "present"},
            "version": {"type": "str", "choices": ["current", "next", "retired"], "default": "current"},
            "file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module is called by its action plugin only")


if __name__ == "__main__":
    main()
