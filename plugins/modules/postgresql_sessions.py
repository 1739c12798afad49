#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_sessions
short_description: Wait until roles are logged in nowhere on a member of PostgreSQL
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Looks at the server and at PgBouncer on the host that it runs on. Connections that PgBouncer keeps open to the
    server count only while a client uses them.
  - Fails when roles are still logged in at the end, and says from where.
attributes:
  check_mode:
    support: full
    description: It only reads, and does not wait.
  diff_mode:
    support: none
    description: It only reads.
options:
  roles:
    description: The roles.
    type: list
    elements: str
    required: true
  pooler_port:
    description: Port of PgBouncer on this host.
    type: int
    default: 6432
  local:
    description: Whether connections over the host's own socket count too. Those of a pooler come that way.
    type: bool
    default: false
  timeout:
    description: Seconds to wait.
    type: int
    default: 600
  quiet:
    description: Seconds for which nobody may have been seen. A client may have read the old credential a moment ago.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Wait until nobody uses the old role
  holdfast.platform.postgresql_sessions:
    roles: [orders_a]
"""

RETURN = r"""
seconds:
  description: How long it took until nobody was logged in.
  type: float
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_sessions
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "roles": {"type": "list", "elements": "str", "required": True},
            "pooler_port": {"type": "int", "default": 6432},
            "local": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 600},
            "quiet": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    given = module.params
    begin = time.monotonic()
    try:
        left = _postgresql_sessions.wait(
            given["roles"],
            lambda: _postgresql_sessions.read(given["pooler_port"], local=given["local"]),
            0 if module.check_mode else given["timeout"],
            quiet=given["quiet"],
        )
    except Failed as failure:
        module.fail_json(msg=str(failure))
    if left:
        module.fail_json(
            msg=f"still logged in here after {given['timeout']} s: {_postgresql_sessions.told(left)}. These clients "
            "have to take the new credential and connect anew, or to be ended; then run it again"
        )
    module.exit_json(changed=False, seconds=round(time.monotonic() - begin, 1))


if __name__ == "__main__":
    main()
