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
  - With O(state=present) a host without data joins the live cluster; an entry that it left behind under its name or
    address is replaced, as long as a majority of the members answers without it.
  - With O(state=formed) a host without data starts as a first member of a new cluster of O(members). Ask for that only
    when no member of the cluster has data.
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
    choices: [asked, present, formed]
    default: asked
  name:
    description: Name of this member.
    type: str
    required: true
  peer_url:
    description: URL at which the other members reach this one.
    type: str
    required: true
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
    - V(member) has data; V(joinable) has none and a live cluster is there; V(unformed) has none and nobody answers.
  type: str
  returned: always
members:
  description: Names of the members that the live cluster knows.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_member as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client, Member
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def join(module: AnsibleModule, client: Client, wish: rules.Wish, live: list[Member]) -> None:
    """Enter the live cluster and start."""
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


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["asked", "present", "formed"], "default": "asked"},
            "name": {"type": "str", "required": True},
            "peer_url": {"type": "str", "required": True},
            "members": {"type": "dict", "default": {}},
            "token": {"type": "str", "default": "etcd", "no_log": False},
            "data_dir": {"type": "path", "default": "/var/lib/etcd/holdfast"},
            "unit": {"type": "str", "default": "etcd.service"},
            **ACCESS,
        },
        supports_check_mode=True,
    )
    given = module.params
    wish = rules.Wish(given["name"], given["peer_url"])
    access = {name: given[name] for name in ("ca", "certificate", "key", "user", "password")}
    client = Client(given["endpoints"], **access)
    try:
        live = rules.living(client)
        data = Path(given["data_dir"])
        has = {"has_data": (data / "member").exists(), "forming": (data / rules.FIRST_START).exists()}
        standing = rules.standing(wish, **has, live=live)
        act = (given["state"], standing) in (("present", rules.JOINABLE), ("formed", rules.UNFORMED))
        if act and not module.check_mode:
            if live is not None:
                join(module, client, wish, live)
            else:
                start(module, "new", ",".join(f"{name}={url}" for name, url in sorted(given["members"].items())))
    except Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=act, standing=standing, members=[member.name for member in live or ()])


if __name__ == "__main__":
    main()
