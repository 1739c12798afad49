#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_state
short_description: Reconcile users, settings and the Sentinel of a Redis member
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One call, at the server and the Sentinel of this host. Users get what is declared, those that nobody declares go,
    and the server writes them down itself. No client is disconnected, but those of users that go.
  - Settings that need no restart are set. The Sentinel is told how to watch, and its own file is never written.
  - Waits until the member is in service.
extends_documentation_fragment:
  - holdfast.platform.redis
  - holdfast.platform.redis.member
attributes:
  check_mode:
    support: full
    description:
      - Says what would be done. To learn how the server spells a user's rights, it is given a user C(holdfast-scratch),
        off and without a password, for a moment.
  diff_mode:
    support: none
    description: The steps say what changes; passwords have no diff.
options:
  settings:
    description: Settings of redis.conf that a running server can change, by name.
    type: dict
    required: true
  timeout:
    description: Seconds until the member has to be in service.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Reconcile users, settings and the Sentinel
  holdfast.platform.redis_state:
    name: "{{ inventory_hostname }}"
    settings: {maxmemory: 512mb}
"""

RETURN = r"""
steps:
  description: What was done, in words.
  type: list
  elements: str
  returned: always
primary:
  description: The member that leads; empty when none does, and where shards have one each.
  type: str
  returned: always
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as member
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_state as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_users as users
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Refused, Unreachable
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

#: How a plan is made of what a program says, and how it is carried out.
Part = tuple[Callable[[Client], users.Plan], Callable[[Client, users.Plan], None]]


def reconcile(given: dict[str, Any], *, check: bool) -> list[str]:
    """Do what is missing; what it was. Raises Failed."""
    sentinels = given["topology"] == "sentinel"
    reading = cluster.look(given) if sentinels else cluster.Reading({}, {})
    access = cluster.access(given, 10)
    own = Path(given["directories"]["sentinel"]) / member.SENTINEL
    parts: dict[str, list[Part]] = {
        "server": [
            (lambda c: users.look(c, users.of(given["users"])), users.carry_out),
            (lambda c: rules.look_settings(c, given["settings"]), rules.carry_out),
        ],
    }
    if sentinels:
        parts["sentinel"] = [
            (lambda c: users.look(c, users.of(given["users"], sentinel=True)), users.carry_out),
            (lambda c: rules.look_watching(c, member.watch(given), own, reading), rules.carry_out),
        ]
    steps: list[str] = []
    for program, work in parts.items():
        try:
            with access.client(given["here"][program]) as client:
                for look, carry_out in work:
                    plan = look(client)
                    if not check:
                        carry_out(client, plan)
                    steps += [f"{program}: {word}" for word in plan.words]
        except (Unreachable, Refused) as error:
            if not check:
                raise
            steps.append(f"{program}: all there is to set, once it runs ({error})")
    return steps


def unsettled(given: dict[str, Any]) -> str:
    """Why the member is not in service yet; empty when all is well."""
    if given["topology"] == "sentinel":
        return rules.unsettled(cluster.look(given), given["name"])
    reading = shards.look(given)
    return shards.unfit(reading, reading.nodes[given["name"]])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **member.OPTIONS,
            "settings": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        steps = reconcile(given, check=module.check_mode)
        if not module.check_mode:
            reason = until(lambda: unsettled(given), given["timeout"])
            if reason:
                module.fail_json(msg=f"redis: not in service after {given['timeout']} s: {reason}", steps=steps)
        leader = ""
        if given["topology"] == "sentinel":
            reading = cluster.look(given)
            leader = reading.named(cluster.primary(reading))
    except Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(steps), steps=steps, primary=leader)


if __name__ == "__main__":
    main()
