#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_health
short_description: Check a Kubernetes cluster from one of its control planes
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Asks over the network, as clients do, and fails with all that is wrong. Changes nothing.
  - API servers that are not ready; nodes that are missing, that nobody declared, not ready, short of something or
    cordoned; kubelets without a certificate; requests for certificates that are undecided; name servers that don't
    answer, at the service's address and each at its own; missing metrics.
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It only reads.
options:
  nodes:
    description: Names and addresses of each declared node, by its name.
    type: dict
    required: true
  servers:
    description: URLs of all API servers.
    type: list
    elements: str
    required: true
  dns:
    description: The C(address) of the cluster's name server, and a C(name) that it has to know.
    type: dict
    required: true
  metrics:
    description: Whether every node has to have metrics. Waits a minute for those of nodes that have just joined.
    type: bool
    default: true
  kubeconfig:
    description: File that says where the API is, and how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
"""

EXAMPLES = r"""
- name: Check the cluster
  holdfast.platform.kubernetes_health:
    nodes: {control-a1: [control-a1, 10.77.1.11]}
    servers: [https://10.77.1.11:6443]
    dns: {address: 10.96.0.10, name: kubernetes.default.svc.cluster.local}
  run_once: true
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_health as rules
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "dict", "required": True},
            "servers": {"type": "list", "elements": "str", "required": True},
            "dns": {"type": "dict", "required": True},
            "metrics": {"type": "bool", "default": True},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        client = Client(read_kubeconfig(given["kubeconfig"]))
        reading = rules.read(client, given["nodes"], given["servers"], given["dns"], metrics=given["metrics"])
        problems = rules.judge(given["nodes"], reading, metrics=given["metrics"])
    except Failed as failure:
        problems = [str(failure)]
    if problems:
        module.fail_json(msg="Kubernetes: " + "; ".join(problems), problems=problems)
    module.exit_json(changed=False, problems=[])


if __name__ == "__main__":
    main()
