#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_shards
short_description: Form the shards of a Redis Cluster, and keep them whole
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One call for all members, on any of them. It asks every one what it knows, and does what is missing until nothing
    is. Members meet, a new cluster divides its slots, empty members follow the primary that needs a replica most, in
    another zone. Run again after it was cut off, it goes on where it was.
  - Slots are given out only while no member has data. Those of a primary that is lost with all its replicas are never
    given to another one.
  - When one zone has so many primaries that its loss would end the cluster, a replica elsewhere takes over, without a
    loss of writes.
extends_documentation_fragment:
  - holdfast.platform.redis
attributes:
  check_mode:
    support: full
    description: Says what comes first.
  diff_mode:
    support: none
    description: The steps say what changes.
options:
  state:
    description: V(formed), or V(forgotten) to let all others forget the member O(name), which is stopped.
    type: str
    choices: [formed, forgotten]
    default: formed
  name:
    description: The member that is forgotten. O(members) may have it, or not any more.
    type: str
    default: ''
  address:
    description: Its address, C(host:port), when O(members) does not have it.
    type: str
    default: ''
  timeout:
    description: Seconds that it may take.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Form the shards
  holdfast.platform.redis_shards:
    members: "{{ addresses }}"
    zones: {data-a1: a, data-b1: b, data-c1: c, data-a2: a, data-b2: b, data-c2: c}
"""

RETURN = r"""
steps:
  description: What was done, in words.
  type: list
  elements: str
  returned: always
primaries:
  description: The members that lead, and the slots of each.
  type: dict
  returned: always
members:
  description: The members that answer, without one that is forgotten.
  type: list
  elements: str
  returned: always
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as rules
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

PAUSE = 0.5


def form(given: dict[str, Any], done: list[str], *, check: bool) -> None:
    """Do one kind of step after the other; done grows by what was done. Raises Failed."""
    access = cluster.access(given)
    end = time.monotonic() + given["timeout"]
    while True:
        reading = rules.look(given)
        reason = ""
        try:
            found = rules.steps(reading, given["replicas"])
            if not check:
                rules.carry_out(reading, found, access)
            done += [step.text for step in found if step.text not in done]
        except Failed as error:
            if check:
                done.append(f"what is missing, once the members run ({error})")
            found, reason = [], str(error)  # what is missing now may come by itself
        waiting = [reason] if reason else rules.unsettled(reading)
        if check or (not found and not waiting):
            return
        if time.monotonic() > end:
            raise Failed(f"the shards are not whole after {given['timeout']} s: {'; '.join(waiting)}")
        time.sleep(PAUSE)


def forget(given: dict[str, Any], done: list[str], *, check: bool) -> None:
    """Let the others forget a member, as soon as its slots are with others. Raises Failed."""
    access = cluster.access(given)
    end = time.monotonic() + given["timeout"]
    while True:
        reading = rules.look(given)
        try:
            found = rules.forgets(reading, given["name"], given["address"])
        except Failed:
            if check or time.monotonic() > end:
                raise
            time.sleep(1)
            continue
        if not check:
            rules.carry_out(reading, found, access)
        done += [step.text for step in found]
        return


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **cluster.OPTIONS,
            "state": {"type": "str", "choices": ["formed", "forgotten"], "default": "formed"},
            "name": {"type": "str", "default": ""},
            "address": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given, steps = module.params, list[str]()
    try:
        (form if given["state"] == "formed" else forget)(given, steps, check=module.check_mode)
        reading = rules.look(given)
    except Failed as error:
        module.fail_json(msg=f"redis: {error}", steps=steps)
    module.exit_json(
        changed=bool(steps),
        steps=steps,
        primaries={node.name: rules.told(node.slots) for node in reading.leading},
        members=[node.name for node in reading.living if given["state"] == "formed" or node.name != given["name"]],
    )


if __name__ == "__main__":
    main()
