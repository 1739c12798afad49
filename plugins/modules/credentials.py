#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials
short_description: Lay down what the programs of a host log in with, and try it
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One call carries all credentials of the host. Each gets a file that only its owner can read, replaced as a whole.
  - The host needs nothing but Python to try them; the logins go to every server of the service.
attributes:
  check_mode:
    support: full
    description: Says which files would change.
  diff_mode:
    support: none
    description: Credentials have no diff.
options:
  state:
    description:
      - V(present) writes the files, and reloads or restarts the units that read them, when they run.
      - V(accepted) fails unless every server takes every credential.
      - V(refused) fails unless every server refuses every credential.
    type: str
    choices: [present, accepted, refused]
    default: present
  credentials:
    description: The list that the lookup P(holdfast.platform.credentials#lookup) gives.
    type: list
    elements: dict
    required: true
    suboptions:
      secret:
        description: Its path in the site's secret store, C(owner/name).
        type: str
        required: true
      path:
        description: The file; needed with O(state=present).
        type: path
      user:
        description: Who logs in. One gives the name that the secret's owner knows; the lookup adds the suffix of today.
        type: str
        required: true
      password:
        description: The lookup fills it in.
        type: str
        required: true
      owner:
        description: The system user that the file belongs to.
        type: str
        default: root
      group:
        description: The file's group; the owner's name when it is left out.
        type: str
        default: ""
      content:
        description: The file's text, with C($user) and C($password). A JSON object of the two when it is left out.
        type: str
        default: ""
      unit:
        description: What has to know of a change. None when the program reads the file for every connection.
        type: str
        default: ""
      effect:
        description: How the unit is told.
        type: str
        choices: [reload, restart]
        default: reload
      login:
        description: The service that takes it; the lookup fills it in.
        type: dict
        suboptions:
          kind:
            description: The protocol; V(etcd_token) is the key that signs what etcd gives to who has logged in.
            type: str
            choices: [postgresql, etcd, etcd_token, patroni, redis]
            required: true
          name:
            description: Name that the servers of PostgreSQL and Redis prove with their certificates.
            type: str
            default: ""
          hosts:
            description: Addresses of all servers; for etcd and Patroni their base URLs.
            type: list
            elements: str
            required: true
          port:
            description: Their port, for PostgreSQL.
            type: int
            default: 0
          ca:
            description: File with the authorities that sign the servers' certificates.
            type: path
            required: true
          certificate:
            description: File of the certificate that etcd and Patroni want to see.
            type: path
            default: ""
          key:
            description: File of its key.
            type: path
            default: ""
          database:
            description: For PostgreSQL.
            type: str
            default: ""
seealso:
  - plugin: holdfast.platform.credentials
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Lay down what the programs of this host log in with
  holdfast.platform.credentials:
    credentials: "{{ lookup('holdfast.platform.credentials', credentials_files) }}"
  vars:
    credentials_files:
      - secret: postgresql/orders
        database: orders
        path: /etc/orders/database.env
        owner: orders
        content: |
          PGUSER=$user
          PGPASSWORD=$password
        unit: orders.service
"""

RETURN = r"""
paths:
  description: Files that changed, or in check mode would.
  type: list
  elements: str
  returned: state is present
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _credentials
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "accepted", "refused"], "default": "present"},
            "credentials": {"type": "list", "elements": "dict", "required": True, "options": _credentials.OPTIONS},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        credentials = _credentials.parse(module.params["credentials"])
        if state == "present":
            changed = _credentials.write(credentials, check=module.check_mode)
            if not module.check_mode:
                _credentials.tell(changed)
            module.exit_json(changed=bool(changed), paths=[str(credential.path) for credential in changed])
        judge = _credentials.accepted if state == "accepted" else _credentials.refused
        problems = [f"{one.secret}: {reason}" for one in credentials for reason in [judge(one)] if reason]
    except Failed as failure:
        module.fail_json(msg=str(failure))
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
