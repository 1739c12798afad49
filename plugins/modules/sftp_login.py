#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sftp_login
short_description: Try which keys SFTP servers take, and which they have
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - What a rotation of SSH keys asks of every host that makes backups. Each login is one of its own, in both directions
    verified. Nothing is read or written there.
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  state:
    description:
      - V(accepted) fails unless every login succeeds.
      - V(refused) fails unless every login is refused, by the server or because of the server's own key. A server that
        does not answer has refused nothing.
    type: str
    choices: [accepted, refused]
    required: true
  logins:
    description: The logins.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: For messages.
        type: str
        required: true
      address:
        description: Of the server.
        type: str
        required: true
      port:
        description: Of the server.
        type: int
        required: true
      user:
        description: Who logs in.
        type: str
        required: true
      key:
        description: The private key.
        type: str
        required: true
      known_hosts:
        description: Lines as in a known_hosts file. No other key of the server will do.
        type: list
        elements: str
        required: true
notes:
  - The host needs the C(ssh) program.
seealso:
  - plugin: holdfast.platform.backup_rotation
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Make sure that the stores take the new keys
  holdfast.platform.sftp_login:
    state: accepted
    logins: "{{ lookup('holdfast.platform.backup_rotation', 'verified').accepted }}"
"""

RETURN = r"""#"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _sftp_login
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["accepted", "refused"], "required": True},
            "logins": {"type": "list", "elements": "dict", "required": True, "options": _sftp_login.OPTIONS},
        },
        supports_check_mode=True,
    )
    problems = []
    try:
        for given in module.params["logins"]:
            login = _sftp_login.Login.of(given)
            refusal = _sftp_login.log_in(login)
            if module.params["state"] == "accepted" and refusal:
                problems.append(f"{login.name}: {refusal}")
            elif module.params["state"] == "refused" and not refusal:
                problems.append(f"{login.name}: the old key is still good there")
    except Failed as failure:
        module.fail_json(msg=str(failure))
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
