#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Let a host form an etcd cluster, or join the one that lives
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - With O(state=asked) it only tells where the host stands, from its own data directory and from what the live cluster
    answers.
  - With O(state=present) a host without data joins the live cluster as a learner, and gets its vote when it has caught
    up; an entry that it left behind under its name or address is replaced. It is refused while another member does not
    answer, because one more vote would raise the majority that the cluster needs.
  - With O(state=formed) a host without data starts as a first member of a new cluster of O(members). Ask for that only
    when no member of the cluster has data.
  - With O(state=absent) the member O(name) leaves the cluster, dead or alive, after it has handed over when it leads.
    It is refused unless a majority of the others answers. Ask for it on any host that can reach the others.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: none
    description: Membership has no diff.
options:
  state:
    description: What to do.
    type: str
    choices: [asked, present, formed, absent]
    default: asked
  name:
    description: Name of this member.
    type: str
    required: true
  peer_url:
    description:
      - URL at which the other members reach this one. Needed for every O(state) but V(absent), where it finds a member
        that was added and never came up.
    type: str
  members:
    description: Peer URLs of all members by name, for a new cluster.
    type: dict
    default: {}
  token:
    description: Name of the cluster; keeps the members of two clusters apart.
    type: str
    default: etcd
  data_dir:
    description: Data directory of the member.
    type: path
    default: /var/lib/etcd/holdfast
  unit:
    description: The member's unit.
    type: str
    default: etcd.service
  timeout:
    description: Seconds until a learner has to have caught up.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Ask the live cluster about this member
  holdfast.platform.etcd_member:
    name: data-a1
    peer_url: https://10.77.1.11:2380
    endpoints: [https://10.77.2.11:2379, https://10.77.3.11:2379]
    ca: /etc/holdfast/pki/etcd/ca.crt
    certificate: /etc/holdfast/pki/etcd/etcd.crt
    key: /etc/holdfast/pki/etcd/etcd.key
    password: "{{ etcd_root_password }}"
  register: __etcd_member
"""

RETURN = r"""
standing:
  description:
    - Where the host stood before this call.
    - V(member) has data; V(learner) too, and no vote yet; V(joinable) has none and a live cluster is there;
      V(unformed) has none and nobody answers.
  type: str
  returned: always but with O(state=absent)
members:
  description: Names of the members that the live cluster knows.
  type: list
  elements: str
  returned: always
leader:
  description: Who leads in the place of the member that left; empty when that one did not lead.
  type: str
  returned: with O(state=absent)
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_member as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client, Member, Status
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def join(module: AnsibleModule, client: Client, wish: rules.Wish, live: list[Member]) -> None:
    """Enter the live cluster and start."""
    answers = client.statuses(live)
    rules.check_join(wish, live, [key for key, answer in answers.items() if not isinstance(answer, Status)])
    left_behind = rules.stale(wish, live)
    if left_behind:
        client.remove(left_behind.id)
    members = live if rules.entered(wish, live) else client.add(wish.peer_url)
    cluster = rules.initial_cluster(
        wish, [member for member in members if not left_behind or member.id != left_behind.id]
    )
    start(module, "existing", cluster)


def start(module: AnsibleModule, state: str, cluster: str) -> None:
    """Start the member for the first time."""
    content = rules.environment(state, cluster, module.params["token"])
    rules.begin(module.params["unit"], Path(module.params["data_dir"]) / rules.FIRST_START, content)


def enter(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Say where the host stands, and do what is asked for."""
    given = module.params
    wish = rules.Wish(given["name"], given["peer_url"])
    live = rules.living(client)
    data = Path(given["data_dir"])
    has = {"has_data": (data / "member").exists(), "forming": (data / rules.FIRST_START).exists()}
    standing = rules.standing(wish, **has, live=live)
    # A majority of this run's hosts may have formed the cluster already, with this one among its members.
    acts = {"present": (rules.JOINABLE, rules.LEARNER), "formed": (rules.UNFORMED, rules.JOINABLE)}
    act = acts.get(given["state"], ())
    if given["state"] == "formed" and standing == rules.JOINABLE:
        rules.check_formed(wish, live or ())
    if standing in act and not module.check_mode:
        if given["state"] == "formed":
            start(module, "new", ",".join(f"{name}={url}" for name, url in sorted(given["members"].items())))
        elif standing == rules.JOINABLE:
            join(module, client, wish, live or [])
        if given["state"] != "formed":
            rules.promote(client, wish, given["timeout"])
    return {
        "changed": standing in act,
        "standing": standing,
        "members": [member.name for member in live or ()],
    }


def leave(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Take the member out of the cluster."""
    changed, leader = rules.leave(client, module.params["name"], module.params["peer_url"], act=not module.check_mode)
    return {"changed": changed, "leader": leader, "members": [member.name for member in client.members()]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["asked", "present", "formed", "absent"], "default": "asked"},
            "name": {"type": "str", "required": True},
            "peer_url": {"type": "str"},
            "members": {"type": "dict", "default": {}},
            "token": {"type": "str", "default": "etcd", "no_log": False},
            "data_dir": {"type": "path", "default": "/var/lib/etcd/holdfast"},
            "unit": {"type": "str", "default": "etcd.service"},
            "timeout": {"type": "int", "default": 120},
            **ACCESS,
        },
        required_if=[("state", state, ["peer_url"]) for state in ("asked", "present", "formed")],
        supports_check_mode=True,
    )
    given = module.params
    access = {name: given[name] for name in ("ca", "certificate", "key", "user", "password")}
    client = Client(given["endpoints"], **access)
    try:
        module.exit_json(**(leave if given["state"] == "absent" else enter)(module, client))
    except Failed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
