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
  - V(planned) reads what the copy holds, and says what each member of shards begins as. It fails when these members
    can't take the copy.
  - V(prepared) makes the member's new data beside the old ones. With O(file) they hold that part of the copy, which is
    fetched and checked. The running cluster is not touched.
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
    choices: [planned, prepared, swapped]
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
    description: Address of the one that leads afterwards; this member's own where shards have one each.
    type: str
    required: true
  file:
    description: The file of the copy that this member begins with. Empty for one that follows.
    type: str
    default: ''
  nodes:
    description: What a member of shards begins with to know the others, as V(planned) has said.
    type: str
    default: ''
  members:
    description: Addresses of all members by name; V(planned) needs it.
    type: dict
    default: {}
  zones:
    description: Their zones by name; V(planned) needs it.
    type: dict
    default: {}
  replicas:
    description: Replicas that each primary has.
    type: int
    default: 1
  bus:
    description: Port on which members of shards talk.
    type: int
    default: 16379
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
    file: dump.rdb
    token: 20261121T100000
"""

RETURN = r"""
figures:
  description: What the copy's manifest says of it.
  type: dict
  returned: state is planned, or prepared with O(file)
plan:
  description: For each member the C(file) of the copy that it begins with, and its C(nodes).
  type: dict
  returned: state is planned
leaders:
  description: The members that lead afterwards.
  type: list
  elements: str
  returned: state is planned
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _restic
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


def chosen(given: dict[str, Any]) -> tuple[_restic.Settings, _restic.Copy]:
    """The copy that was chosen, and where it is."""
    return _restic.load(given["settings"]), _restic.Copy.of(given["copy"])


def planned(given: dict[str, Any]) -> dict[str, Any]:
    """What each member of shards begins as. Raises Failed and BackupError."""
    figures = _restic.described(*chosen(given))["figures"]
    members = {name: given["zones"][name] for name in given["members"]}
    places = rules.layout(figures, members, given["replicas"], given["token"])
    aware = rules.knows_shards(run(["redis-server", "--version"]).out)
    plan = {
        name: {
            "file": place.file,
            "nodes": rules.nodes_file(places, name, given["members"], given["bus"], with_shards=aware),
        }
        for name, place in places.items()
    }
    return {"figures": figures, "plan": plan, "leaders": sorted(name for name in plan if plan[name]["file"])}


def act(given: dict[str, Any]) -> dict[str, Any]:
    """One step that changes the member. Raises Failed and BackupError."""
    plan = rules.Plan(Path(given["data_dir"]), given["address"], given["primary"], given["token"])
    if given["state"] == "swapped":
        for unit in given["units"]:
            run(["systemctl", "stop", "--", unit])
        rules.swap(plan)
        return {}
    if not given["file"]:
        rules.prepare(plan, None, given["owner"], given["nodes"])
        return {}
    settings, copy = chosen(given)
    place = settings.home / "restore" / f"{copy.id}-{Path(given['file']).stem}"
    manifest = _restic.fetch(settings, copy, place, given["file"])
    if not given["nodes"] and "shards" in manifest["figures"]:
        raise Failed("this copy is of shards, and redis_topology is sentinel; choose a copy of one primary")
    rules.prepare(plan, place / given["file"], given["owner"], given["nodes"])
    return {"figures": manifest["figures"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["planned", "prepared", "swapped"], "required": True},
            "settings": {"type": "path", "required": True},
            "copy": {"type": "dict", "required": True},
            "data_dir": {"type": "path", "required": True},
            "address": {"type": "str", "required": True},
            "primary": {"type": "str", "required": True},
            "file": {"type": "str", "default": ""},
            "nodes": {"type": "str", "default": ""},
            "members": {"type": "dict", "default": {}},
            "zones": {"type": "dict", "default": {}},
            "replicas": {"type": "int", "default": 1},
            "bus": {"type": "int", "default": 16379},
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
    given = module.params
    try:
        if given["state"] == "planned":
            module.exit_json(changed=False, **planned(given))
        if module.check_mode:
            module.exit_json(changed=True)
        module.exit_json(changed=True, **act(given))
    except (Failed, _restic.BackupError) as error:
        module.fail_json(msg=f"redis: {error}")


if __name__ == "__main__":
    main()
