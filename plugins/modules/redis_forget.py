#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_forget
short_description: Let the Sentinels of a Redis cluster forget a member
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Sentinels never forget a server or a Sentinel by themselves, and count those that are gone when they vote. One after
    the other they are reset, and the next one waits until the last one has found all that are there.
  - Refused while the member still leads, or while another one is not in service. The member itself has to be stopped
    before, or it is found again.
extends_documentation_fragment:
  - holdfast.platform.redis
attributes:
  check_mode:
    support: full
    description: Says which Sentinels know the member.
  diff_mode:
    support: none
    description: A reset has no diff.
options:
  name:
    description: The member that is forgotten. O(members) and O(sentinels) may have it, or not any more.
    type: str
    required: true
  address:
    description: Its server's address, C(host:port); empty when nobody knows it any more.
    type: str
    default: ''
  timeout:
    description: Seconds to wait for another primary.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Forget a member
  holdfast.platform.redis_forget:
    name: data-b1
    address: 10.77.2.11:6379
"""

RETURN = r"""
told:
  description: Sentinels that had to forget it.
  type: list
  elements: str
  returned: always
leader:
  description: The primary.
  type: str
  returned: always
members:
  description: The members that stay.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **cluster.OPTIONS,
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    given = module.params
    name, address = given["name"], given["address"] or given["members"].get(given["name"], "")

    def trouble() -> str:
        try:
            rules.check_leave(cluster.look(given), name)
        except Failed as error:
            return str(error)
        return ""

    reason = until(trouble, 0 if module.check_mode else given["timeout"], 1)
    if reason and not module.check_mode:
        module.fail_json(msg=f"redis: {reason}")
    try:
        reading = cluster.look(given)
        if module.check_mode:
            told = rules.remembered(reading, name, address)
        else:
            told = rules.forget(reading, name, address, given["cluster"], cluster.access(given))
        leader = reading.named(cluster.primary(reading))
    except Failed as error:
        module.fail_json(msg=f"redis: {error}")
    members = sorted(other for other in given["members"] if other != name)
    module.exit_json(changed=bool(told), told=told, leader=leader, members=members)


if __name__ == "__main__":
    main()
