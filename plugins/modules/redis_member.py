#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_member
short_description: Let a host become a member of a Redis cluster
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Asks the live members and Sentinels who leads. A host without data follows that one; a host with data is what its
    own data and files say.
  - Writes what Redis and its Sentinel begin with, and never a file again that one of them has written itself. The one
    exception is the file of users, of a program that does not run, or that knows none of today's passwords.
  - Starts nothing. M(holdfast.platform.member) does, with RV(effects).
extends_documentation_fragment:
  - holdfast.platform.redis
  - holdfast.platform.redis.member
attributes:
  check_mode:
    support: full
    description: Says what would be written.
  diff_mode:
    support: none
    description: The files hold passwords.
options:
  primary:
    description: The member that leads a new cluster. Only when all members are V(unformed).
    type: str
    default: ''
  anew:
    description:
      - The members are to begin anew, whatever they are now, and all that is wanted is RV(candidate). So a restore goes
        on after one that was cut off, which left some of them empty.
    type: bool
    default: false
  owner:
    description: The system user that the programs run as.
    type: str
    default: redis
  units:
    description: Units of the server and of the Sentinel.
    type: dict
    default: {server: redis-server.service, sentinel: redis-sentinel.service}
"""

EXAMPLES = r"""
- name: Ask the live cluster about this member
  holdfast.platform.redis_member:
    name: "{{ inventory_hostname }}"
  register: __redis_member
"""

RETURN = r"""
standing:
  description: V(member), V(joinable) or V(unformed).
  type: str
  returned: always
candidate:
  description: Who would lead a new cluster.
  type: str
  returned: always
primary:
  description: The member that leads now; empty when none does.
  type: str
  returned: always
written:
  description: Files that were written.
  type: list
  elements: str
  returned: always
effects:
  description: What the files ask for, a unit and V(restart) each.
  type: dict
  returned: always
pending:
  description: Whether M(holdfast.platform.redis_shards) has something to do, now or once the members run.
  type: bool
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _member
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_cluster as cluster
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_member as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_shards as shards
from ansible_collections.holdfast.platform.plugins.module_utils import _redis_users as users
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def enter(given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Say where the host stands, and write what is missing."""
    if given["topology"] == "cluster":
        return enter_shards(given, check=check)
    reading = cluster.look(given)
    access = cluster.access(given)
    units = _member.read_units([given["units"][part] for part in ("server", "sentinel")])
    runs = {part: unit.runs for part, unit in zip(("server", "sentinel"), units)}
    places = {part: Path(path) for part, path in given["directories"].items()}
    has_data = rules.has_data(places["server"])
    where = rules.UNFORMED if given["anew"] else rules.standing(reading, given["name"], has_data=has_data)
    files = rules.seeds(
        where,
        reading,
        own=given["members"][given["name"]],
        watch=rules.watch(given),
        **places,
        texts={part: users.file(users.of(given["users"], sentinel=part == "sentinel")) for part in places},
        states={part: rules.answers(access, given["here"][part], runs=runs[part]) for part in places},
        primary=given["members"][given["primary"]] if given["primary"] else "",
    )
    watched = rules.watched(places["sentinel"] / rules.SENTINEL, given["cluster"])
    if not check:
        rules.write(files, given["owner"])
    changed = {part for part, place in places.items() if any(path.parent == place for path in files)}
    return {
        "changed": bool(files),
        "standing": where,
        "candidate": reading.named(rules.candidate(reading, watched)),
        "primary": reading.named(cluster.primary(reading)),
        "written": rules.names(list(files)),
        "effects": {given["units"][part]: "restart" for part in sorted(changed)},
        "pending": False,
    }


def enter_shards(given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """The same where there are shards. Raises Failed when these members can't form any."""
    reading = shards.look(given)
    unit = given["units"]["server"]
    place = Path(given["directories"]["server"])
    has_data = rules.has_data(place)
    if not has_data and not reading.leading:
        shards.founders(given["zones"], given["replicas"])
    files = rules.shard_seeds(
        place,
        has_data=has_data,
        own=given["members"][given["name"]],
        text=users.file(users.of(given["users"])),
        state=rules.answers(cluster.access(given), given["here"]["server"], runs=_member.read_units([unit])[0].runs),
    )
    if not check:
        rules.write(files, given["owner"])
    try:
        pending = bool(files or shards.steps(reading, given["replicas"]) or shards.unsettled(reading))
    except Failed:
        pending = True
    return {
        "changed": bool(files),
        "standing": rules.MEMBER if has_data else rules.JOINABLE,
        "candidate": "",
        "primary": "",
        "written": rules.names(list(files)),
        "effects": {unit: "restart"} if files else {},
        "pending": pending,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **rules.OPTIONS,
            "primary": {"type": "str", "default": ""},
            "anew": {"type": "bool", "default": False},
            "owner": {"type": "str", "default": "redis"},
            "units": {
                "type": "dict",
                "default": {"server": "redis-server.service", "sentinel": "redis-sentinel.service"},
            },
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**enter(module.params, check=module.check_mode))
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
