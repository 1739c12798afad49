#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_host_keys
short_description: Make, try and give up the host keys of sshd
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - A host has its keys of SSH in generations, named after the versions of the secret C(base/ssh_host_keys), which is
    nothing but that name. The keys are made on the host, and only public ones leave it.
  - The first generation are the keys that sshd had before. A key of the same type is made for each of them when the
    secret has a next value.
  - On the controller the files of known hosts are kept up, those that the connection to this host reads, as C(ssh -G)
    names them, and those of O(known_hosts). Beside each line with a key of the host there is one with its other key of
    that type, with the same names; a file that knows nothing of the host stays as it is.
attributes:
  check_mode:
    support: full
    description: Changes nothing. Keys that would be made have no files yet.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  state:
    description:
      - V(present) makes what is missing, and lets the controller know of it.
      - V(tried) fails unless an sshd with the keys of the next generation proves itself with them, on this host.
      - V(served) fails unless the running sshd shows the keys of the current generation.
      - V(trimmed) does the same. Then it removes the keys of which sshd does not know any more, and the controller
        forgets them.
    type: str
    choices: [present, tried, served, trimmed]
    default: present
  known_hosts:
    description: Further files on the controller, C(known_hosts) for others to read. They have to be there.
    type: list
    elements: path
    default: []
  generations:
    description: Private. The names of the generations.
    type: dict
notes:
  - Keep O(state=trimmed) for when sshd was reloaded without the old keys.
seealso:
  - module: holdfast.platform.rotation
"""

EXAMPLES = r"""
- name: Make the keys that sshd shows, or is to show
  holdfast.platform.ssh_host_keys:
  register: host_keys
"""

RETURN = r"""
files:
  description: The files of the private keys, in the order in which sshd has to list them.
  type: list
  elements: str
  returned: success
  sample: [/etc/ssh/holdfast/5a1e/ssh_host_ed25519_key]
public_keys:
  description: Their public parts.
  type: list
  elements: str
  returned: success
current:
  description: Those of them that belong to the current generation.
  type: list
  elements: str
  returned: success
known_hosts:
  description: Files on the controller that were changed.
  type: list
  elements: path
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _ssh_host_keys
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "tried", "served", "trimmed"], "default": "present"},
            "known_hosts": {"type": "list", "elements": "path", "default": []},
            "generations": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    if module.params["generations"] is None:
        module.fail_json(msg="this module is called by its action plugin only")
    try:
        found = _ssh_host_keys.ensure(
            module.params["state"], _ssh_host_keys.Wanted(**module.params["generations"]), check=module.check_mode
        )
    except Failed as failure:
        module.fail_json(msg=str(failure))
    module.exit_json(**found)


if __name__ == "__main__":
    main()
