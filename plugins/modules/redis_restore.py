#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_restore
short_description: Bring one member of a Redis cluster back from a copy
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The steps of the verb C(restore), each on all members before the next one begins.
  - V(prepared) makes the member's new data beside the old ones. At the primary they hold the copy, which is fetched and
    checked. The running cluster is not touched.
  - V(swapped) stops the member, keeps the old data aside, and puts the new ones in their place.
attributes:
  check_mode:
    support: full
    description: Says that it would.
  diff_mode:
    support: none
    description: Data have no diff.
options:
  state:
    description: The step.
    type: str
    choices: [prepared, swapped]
    required: true
  settings:
    description: File with the settings of the backup.
    type: path
    required: true
  copy:
    description: The copy, as M(holdfast.platform.restic) has chosen it.
    type: dict
    required: true
  data_dir:
    description: The server's data directory.
    type: path
    required: true
  address:
    description: This member's address, C(host:port).
    type: str
    required: true
  primary:
    description: Address of the one that leads afterwards.
    type: str
    required: true
  token:
    description: A word that tells this restore from others.
    type: str
    required: true
  owner:
    description: System user of the data.
    type: str
    default: redis
  units:
    description: Units to stop, in this order.
    type: list
    elements: str
    default: [redis-sentinel.service, redis-server.service]
"""

EXAMPLES = r"""
- name: Make the new data
  holdfast.platform.redis_restore:
    state: prepared
    settings: /etc/holdfast/backup/redis/settings.json
    copy: "{{ __redis_chosen.chosen }}"
    data_dir: /var/lib/redis/holdfast
    address: 10.77.1.11:6379
    primary: 10.77.1.11:6379
    token: 20261121T100000
"""

RETURN = r"""
figures:
  description: What the copy's manifest says of it.
  type: dict
  returned: state is prepared, at the primary
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _restic
from ansible_collections.holdfast.platform.plugins.module_utils._redis_snapshot import SNAPSHOT
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


def act(given: dict[str, Any]) -> dict[str, Any]:
    """One step. Raises Failed and BackupError."""
    plan = rules.Plan(Path(given["data_dir"]), given["address"], given["primary"], given["token"])
    if given["state"] == "swapped":
        for unit in given["units"]:
            run(["systemctl", "stop", "--", unit])
        rules.swap(plan)
        return {}
    if given["address"] != given["primary"]:
        rules.prepare(plan, None, given["owner"])
        return {}
    settings = _restic.load(given["settings"])
    chosen = given["copy"]
    copy = _restic.Copy(chosen["repository"], chosen["id"], float(chosen["time"]))
    place = settings.home / "restore" / copy.id
    manifest = _restic.fetch(settings, copy, place)
    rules.prepare(plan, place / SNAPSHOT, given["owner"])
    return {"figures": manifest["figures"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "swapped"], "required": True},
            "settings": {"type": "path", "required": True},
            "copy": {"type": "dict", "required": True},
            "data_dir": {"type": "path", "required": True},
            "address": {"type": "str", "required": True},
            "primary": {"type": "str", "required": True},
            "token": {"type": "str", "required": True, "no_log": False},
            "owner": {"type": "str", "default": "redis"},
            "units": {
                "type": "list",
                "elements": "str",
                "default": ["redis-sentinel.service", "redis-server.service"],
            },
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        module.exit_json(changed=True, **act(module.params))
    except (Failed, _restic.BackupError) as error:
        module.fail_json(msg=f"redis: {error}")


if __name__ == "__main__":
    main()
