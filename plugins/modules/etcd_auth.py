#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_auth
short_description: Reconcile the users of an etcd cluster and switch authentication on
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Brings the declared users, their passwords and the key prefixes that they may use to the cluster, in one call.
  - A declared user has one role, which bears its name. Other roles are taken from it, and prefixes that are not
    declared from the role.
  - Users and roles that are not declared are left alone.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: Says what would be done; on a cluster that does not exist yet, everything.
  diff_mode:
    support: none
    description: RV(steps) says what changed.
options:
  password:
    description: Password of O(user), an administrator; authentication is switched on with it.
    type: str
    required: true
  administrators:
    description:
      - Users that may do everything; O(user) when none is given. V(root) has to be one of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description:
          - Its password. Without one it may not log in; V(root) gets one that nobody knows, another is deleted.
        type: str
      former:
        description: A password that V(root) may still have when it may not log in any more.
        type: str
  users:
    description: Other users.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user, and of its role.
        type: str
        required: true
      password:
        description: Its password. Without one the user may not log in, and is deleted when there is one of its name.
        type: str
      prefixes:
        description: Key prefixes that it may read and write.
        type: list
        elements: str
        default: []
      forget:
        description: Not used here. Patterns of keys that M(holdfast.platform.etcd_restore) leaves out.
        type: list
        elements: str
        default: []
"""

EXAMPLES = r"""
- name: Reconcile the users
  holdfast.platform.etcd_auth:
    endpoints: [https://10.77.1.11:2379]
    ca: /etc/holdfast/pki/etcd/ca.crt
    certificate: /etc/holdfast/pki/etcd/etcd.crt
    key: /etc/holdfast/pki/etcd/etcd.key
    password: "{{ etcd_root_password }}"
    users:
      - {name: postgresql, password: "{{ password }}", prefixes: [/holdfast/postgresql/]}
  run_once: true
"""

RETURN = r"""
steps:
  description: What was done, in the order in which it was done.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_auth as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client, Unreachable
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ACCESS,
            "password": {"type": "str", "no_log": True, "required": True},
            "administrators": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "former": {"type": "str", "no_log": True},
                },
            },
            "users": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "prefixes": {"type": "list", "elements": "str", "default": []},
                    "forget": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    given = module.params
    administrators = given["administrators"] or [{"name": given["user"], "password": given["password"], "former": None}]
    users = [rules.User(**one, role=rules.ROOT) for one in administrators]
    users += [rules.User(user["name"], user["password"], tuple(user["prefixes"])) for user in given["users"]]
    access = {name: given[name] for name in ("ca", "certificate", "key")}
    client = Client(given["endpoints"], **access, user=given["user"], password=given["password"])
    try:
        try:
            actual = rules.read(client, access, users)
        except Unreachable:
            if not module.check_mode:
                raise
            actual = rules.Actual()
        steps = rules.plan(actual, users)
        if not module.check_mode:
            for step in steps:
                client.post(step.path, step.body)
    except Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(steps), steps=[step.words for step in steps])


if __name__ == "__main__":
    main()
