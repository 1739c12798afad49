#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_drain
short_description: Take pods from nodes before they are worked at, and let them have some again
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Runs on a control plane. With O(state=drained) all of O(nodes) are cordoned, and then drained one after the other by
    C(kubectl drain), which respects PodDisruptionBudgets. Pods of DaemonSets and static pods stay, and what pods keep
    in C(emptyDir) is lost.
  - When pods don't leave in time, the call fails, says which and why, and the nodes stay cordoned.
  - With O(state=absent) nodes are no longer part of the cluster; their hosts are not asked.
  - With O(state=released) nodes that were drained here may have pods again, once they are ready. A node that a person
    has cordoned stays so.
attributes:
  check_mode:
    support: full
    description: Says which pods would leave.
  diff_mode:
    support: none
    description: Pods are told by RV(pods).
options:
  state:
    description: What the nodes have to be.
    type: str
    choices: [drained, released, absent]
    required: true
  nodes:
    description: Names of the nodes.
    type: list
    elements: str
    required: true
  skip_absent:
    description: Whether names that are no nodes of the cluster are passed over. They are an error otherwise.
    type: bool
    default: false
  why:
    description: Stands at the nodes for people to read, while they are drained.
    type: str
    default: maintenance
  timeout:
    description: Seconds for one node, to become empty or to be ready.
    type: int
    default: 300
  kubeconfig:
    description: File that says where the API is, and how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
"""

EXAMPLES = r"""
- name: Empty a zone
  holdfast.platform.kubernetes_drain:
    state: drained
    nodes: [application-b1, application-b2]
    why: new switches
"""

RETURN = r"""
pods:
  description: Pods that left, or would, by node.
  type: dict
  returned: with O(state=drained)
nodes:
  description: Nodes that were let go or deleted, or would be.
  type: list
  elements: str
  returned: with O(state=released) and O(state=absent)
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._kube_drain import Node
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["drained", "released", "absent"], "required": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
            "skip_absent": {"type": "bool", "default": False},
            "why": {"type": "str", "default": "maintenance"},
            "timeout": {"type": "int", "default": 300},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    try:
        client = Client(read_kubeconfig(given["kubeconfig"]))
        nodes = [Node(client, name, given["kubeconfig"]) for name in given["nodes"]]
        if given["state"] == "released":
            released = [node.name for node in nodes if node.release(given["timeout"], check=check)]
            module.exit_json(changed=bool(released), nodes=released)
        if given["state"] == "absent":
            deleted = [node.name for node in nodes if node.delete(check=check)]
            module.exit_json(changed=bool(deleted), nodes=deleted)
        if given["skip_absent"]:
            nodes = [node for node in nodes if node.exists()]
        # All of them first: what leaves one must not go to the next one.
        cordoned = [node.cordon(given["why"], check=check) for node in nodes]
        pods = {node.name: node.empty(given["timeout"], check=check) for node in nodes}
    except Failed as failure:
        module.fail_json(msg=str(failure))
    module.exit_json(changed=any(cordoned) or any(pods.values()), pods=pods)


if __name__ == "__main__":
    main()
