#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_nodes
short_description: Labels, annotations and taints of the nodes of a Kubernetes cluster
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Brings all nodes in one call to what is declared of them.
  - What was declared once and is not any more is taken away. What others set, such as the kubelet, a controller or a
    person, is left alone.
  - Of a taint the key and the effect tell which one it is.
attributes:
  check_mode:
    support: full
    description: Asks the API for a dry run.
  diff_mode:
    support: full
    description: Labels, annotations and taints of every node that changes.
options:
  nodes:
    description: What is declared, by the nodes' names.
    type: dict
    required: true
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
  run_once: true
"""

RETURN = r"""
nodes:
  description: The nodes that changed.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_nodes, _kube_set
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "dict", "required": True},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    changed: dict[str, tuple[_kube_set.Object, _kube_set.Object]] = {}
    problems = []
    try:
        wanted = _kube_nodes.parse(module.params["nodes"])
        client = Client(read_kubeconfig(module.params["kubeconfig"]))
    except Failed as failure:
        module.fail_json(str(failure))
    for name, one in wanted.items():
        try:
            before, after = _kube_nodes.reconcile(client, name, one, check=module.check_mode)
        except Failed as failure:
            problems.append(str(failure))
            continue
        if before != after:
            changed[name] = (before, after)
    diff = [_kube_set.told(name, *sides) for name, sides in changed.items()]
    result = {"changed": bool(changed), "nodes": sorted(changed), "diff": diff}
    if problems:
        module.fail_json("; ".join(problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
