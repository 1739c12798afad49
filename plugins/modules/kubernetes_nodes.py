#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_nodes
short_description: Labels, annotations, taints and serving certificates of the nodes of a Kubernetes cluster
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Brings all nodes in one call to what is declared.
  - What was declared once and is not any more is taken away. What others set, such as the kubelet, a controller or a
    person, is left alone.
  - Of a taint the key and the effect tell which one it is.
  - Approves what kubelets ask for to serve with, when it names nothing but what is declared of the node, and waits
    until every kubelet that answers has its certificate and its node is ready. What does not fit is left undecided,
    with a warning.
attributes:
  check_mode:
    support: full
    description: Asks the API for a dry run. Where there is no cluster yet, every node would change.
  diff_mode:
    support: full
    description: Labels, annotations and taints of every node that changes.
options:
  nodes:
    description: What is declared, by the nodes' names.
    type: dict
    required: true
  identities:
    description: Names and addresses of each node, what its certificate may say; without any, none is approved.
    type: dict
    default: {}
  wait:
    description: Seconds to wait for certificates, and until nodes are ready.
    type: int
    default: 60
  kubeconfig:
    description: File that says where the API is, and how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
"""

EXAMPLES = r"""
- name: Reconcile the pools
  holdfast.platform.kubernetes_nodes:
    nodes:
      data-a1:
        labels: {topology.kubernetes.io/zone: a, platform.holdfast/pool: data}
        taints: [{key: dedicated, value: data, effect: NoSchedule}]
    identities:
      data-a1: [data-a1, data-a1.north.example.org, 10.77.1.11]
  run_once: true
"""

RETURN = r"""
nodes:
  description: The nodes that changed.
  type: list
  elements: str
  returned: always
absent:
  description: The nodes that are declared and not in the cluster.
  type: list
  elements: str
  returned: always
approved:
  description: The nodes whose requests for a certificate were approved.
  type: list
  elements: str
  returned: always
undecided:
  description: Why requests were not approved, by their names.
  type: dict
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_nodes, _kube_serving, _kube_set
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "dict", "required": True},
            "identities": {"type": "dict", "default": {}},
            "wait": {"type": "int", "default": 60},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    try:
        wanted = _kube_nodes.parse(given["nodes"])
        if check and not Path(given["kubeconfig"]).is_file():
            names = sorted(wanted)
            module.exit_json(changed=bool(names), nodes=names, absent=names, approved=[], undecided={})
        client = Client(read_kubeconfig(given["kubeconfig"]))
    except Failed as failure:
        module.fail_json(str(failure))
    changed: dict[str, tuple[_kube_set.Object, _kube_set.Object]] = {}
    absent, problems = [], []
    for name, one in wanted.items():
        try:
            before, after = _kube_nodes.reconcile(client, name, one, check=check)
        except _kube_nodes.Absent:
            absent.append(name)
        except Failed as failure:
            problems.append(str(failure))
        else:
            if before != after:
                changed[name] = (before, after)
    settled = _kube_serving.Settled([], {}, _kube_serving.Look())
    try:
        if given["identities"]:
            settled = _certificates(module, client)
    except Failed as failure:
        problems.append(str(failure))
    result = {
        "changed": bool(changed or settled.approved),
        "nodes": sorted(changed),
        "absent": sorted(absent),
        "approved": settled.approved,
        "undecided": settled.left,
        "diff": [_kube_set.told(name, *sides) for name, sides in changed.items()],
    }
    if problems:
        module.fail_json("; ".join(problems), **result)
    module.exit_json(**result)


def _certificates(module: AnsibleModule, client: Client) -> _kube_serving.Settled:
    """Approve, wait, and warn of what is left. Raises Failed."""
    given: dict[str, Any] = module.params

    def look() -> _kube_serving.Look:
        found = [node for node in client.items("/api/v1/nodes") if node["metadata"]["name"] in given["identities"]]
        return _kube_serving.with_readiness(_kube_serving.look(found, client.access.ca), found)

    settled = _kube_serving.settle(
        _kube_serving.by_client(client), look, given["identities"], given["wait"], check=module.check_mode
    )
    for request, reason in settled.left.items():
        module.warn(f"the request {request} for a serving certificate stays undecided: {reason}")
    if not module.check_mode:
        for name, reason in settled.look.lacking.items():
            module.warn(f"{name} is not as it should be after {given['wait']} s: {reason}")
    return settled


if __name__ == "__main__":
    main()
