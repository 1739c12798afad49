#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_health
short_description: Check a Redis cluster from one of its hosts
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Asks every member and every Sentinel over the network, and fails with all that is wrong.
  - Writes a key through the Sentinels, as a client does, and reads it at every member. It is gone after a minute.
  - Where there are shards, it writes a key of each, following the redirections from this member, and reads it at the
    shard's replicas. Every slot has to be served, with a replica in another zone.
extends_documentation_fragment:
  - holdfast.platform.redis
attributes:
  check_mode:
    support: full
    description: It writes one key, which expires.
  diff_mode:
    support: none
    description: It only reads.
options:
  name:
    description: This member's name.
    type: str
    required: true
  timeout:
    description: Seconds for which something may be wrong before it counts. After a failover it takes a moment.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Check the cluster
  holdfast.platform.redis_health:
    name: "{{ inventory_hostname }}"
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
primary:
  description: The member that leads; of shards, those that do.
  type: str
  returned: when nothing is wrong
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_health as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until


def check(given: dict[str, Any]) -> list[str]:
    """What is wrong."""
    if given["topology"] == "cluster":
        return check_shards(given)
    reading = cluster.look(given)
    problems = rules.judge(reading)
    try:
        address = rules.discover(given["sentinels"], given["cluster"], cluster.access(given))
    except Failed as error:
        return [*problems, str(error)]
    problems += rules.probe(reading, given["name"], address, cluster.access(given, 10))
    asked = {**{f"the server of {name}": address for name, address in given["members"].items()}}
    asked.update({f"the Sentinel of {name}": address for name, address in given["sentinels"].items()})
    return problems + rules.strangers(asked, cluster.access(given))


def check_shards(given: dict[str, Any]) -> list[str]:
    """What is wrong with shards."""
    reading = shards.look(given)
    servers = {f"the server of {name}": address for name, address in given["members"].items()}
    problems = shards.judge(reading, given["replicas"])
    problems += shards.probe(reading, given["name"], cluster.access(given, 10))
    return problems + rules.strangers(servers, cluster.access(given))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **cluster.OPTIONS,
            "name": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    given = module.params
    problems = until(lambda: check(given), given["timeout"], 1)
    if problems:
        module.fail_json(msg="redis: " + "; ".join(problems), problems=problems)
    if given["topology"] == "cluster":
        leading = ", ".join(node.name for node in shards.look(given).leading)
    else:
        reading = cluster.look(given)
        leading = reading.named(cluster.primary(reading))
    module.exit_json(changed=False, problems=[], primary=leading)


if __name__ == "__main__":
    main()
