#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_clients
short_description: Wait until connections to Redis from before a moment are gone
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - A connection does not tell with which of its user's passwords it was made. It tells how old it is, and one from
    before its program was given the new value came with the old one.
  - Asks all members, and fails with user, address and name of the connections that are left when the time is over.
extends_documentation_fragment:
  - holdfast.platform.redis
attributes:
  check_mode:
    support: full
    description: Looks once, and waits for nobody.
  diff_mode:
    support: none
    description: It only reads.
options:
  since:
    description: Users, and the moment (ISO 8601, in UTC) from which on connections of each are fine.
    type: dict
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Wait until connections of before are gone
  holdfast.platform.redis_clients:
    since: {shop: "2026-11-21T10:00:00Z"}
"""

RETURN = r"""
connections:
  description: What is left, in words.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_clients as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **cluster.OPTIONS,
            "since": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        since = {user: rules.seconds(moment) for user, moment in given["since"].items()}
        left = until(
            lambda: rules.look(given["members"], cluster.access(given), since),
            0 if module.check_mode else given["timeout"],
            1,
        )
    except Failed as error:
        module.fail_json(msg=str(error))
    if left and not module.check_mode:
        said = f"still connected since before they were told the new value, after {given['timeout']} s: "
        module.fail_json(msg=said + "; ".join(left), connections=left)
    module.exit_json(changed=False, connections=left)


if __name__ == "__main__":
    main()
