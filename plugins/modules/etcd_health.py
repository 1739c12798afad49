#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_health
short_description: Check an etcd cluster from one of its hosts
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Asks every member over the network and fails with all that is wrong. Changes nothing.
  - Declared members that are missing, down, learners or behind; members that nobody declared; no leader; alarms;
    a database that is nearly full; authentication that is off, unless O(user) is empty.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It only reads.
options:
  members:
    description: Client URLs of the declared members by name.
    type: dict
    required: true
  quota:
    description: Largest size of the database in bytes.
    type: int
    default: 2147483648
"""

EXAMPLES = r"""
- name: Check the cluster
  holdfast.platform.etcd_health:
    members: {data-a1: "https://10.77.1.11:2379"}
    endpoints: [https://10.77.1.11:2379]
    ca: /etc/holdfast/pki/etcd/ca.crt
    certificate: /etc/holdfast/pki/etcd/etcd.crt
    key: /etc/holdfast/pki/etcd/etcd.key
    password: "{{ etcd_root_password }}"
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
version:
  description: Versions of the members that answered, by client URL.
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_health as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client, Status


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "members": {"type": "dict", "required": True},
            "quota": {"type": "int", "default": 2147483648},
            **ACCESS,
        },
        supports_check_mode=True,
    )
    given = module.params
    files = {name: given[name] for name in ("ca", "certificate", "key")}
    clients = {
        url: Client([url], **files, user=given["user"], password=given["password"], timeout=3)
        for url in given["members"].values()
    }
    stranger = Client(given["endpoints"], **files, timeout=3) if given["user"] else None
    reading = rules.read(clients, stranger)
    problems = rules.judge(given["members"], reading, quota=given["quota"])
    versions = {url: answer.version for url, answer in reading.answers.items() if isinstance(answer, Status)}
    if problems:
        module.fail_json(msg="etcd: " + "; ".join(problems), problems=problems, version=versions)
    module.exit_json(changed=False, problems=[], version=versions)


if __name__ == "__main__":
    main()
