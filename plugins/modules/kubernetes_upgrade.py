#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_upgrade
short_description: Bring a Kubernetes cluster to another version, step by step
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - With O(state=judged) a control plane asks the cluster for its versions. The call fails, with all reasons, when the
    cluster may not go to O(version), and tells what is due.
  - With O(state=control_plane) the static pods of this control plane are brought to O(version), one control plane at a
    time under O(guard). The programs of O(version) have to be there. They need not be in use.
  - With O(state=cluster) what kubeadm keeps in the cluster is brought to O(version), once all API servers have it.
  - With O(state=node) the kubelet of this node, drained before, is started anew with the programs in use, and has to
    become ready. On a control plane that takes O(guard), because static pods may be started anew with it.
  - Each step does nothing where it was done, so what was cut off goes on when all of them are run again.
extends_documentation_fragment:
  - holdfast.platform.guard
attributes:
  check_mode:
    support: full
    description: Says what is due, and warns when the guard would refuse it as things are.
  diff_mode:
    support: full
    description: Manifests of static pods.
options:
  state:
    description: The step.
    type: str
    choices: [judged, control_plane, cluster, node]
    required: true
  version:
    description: Where the cluster goes, such as V(v1.36.3).
    type: str
    required: true
  name:
    description: Name of the node, for O(state=control_plane) and O(state=node).
    type: str
  address:
    description: Its own address, for O(state=control_plane).
    type: str
  config:
    description: kubeadm's documents, for O(state=control_plane) and O(state=cluster).
    type: str
  servers:
    description: Base URLs of all API servers, for O(state=judged).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds until a static pod, or the node, has to be ready again.
    type: int
    default: 300
seealso:
  - module: holdfast.platform.kubernetes_drain
"""

EXAMPLES = r"""
- name: Judge the versions
  holdfast.platform.kubernetes_upgrade:
    state: judged
    version: v1.36.3
    servers: [https://10.78.1.11:6443, https://10.78.2.11:6443, https://10.78.3.11:6443]
  register: versions
"""

RETURN = r"""
control_planes:
  description: API servers that have another version.
  type: list
  elements: str
  returned: with O(state=judged)
nodes:
  description: Nodes whose kubelet has another version, or that an upgrade left drained.
  type: list
  elements: str
  returned: with O(state=judged)
due:
  description: Whether anything has another version.
  type: bool
  returned: with O(state=judged)
steps:
  description: What was done to the control plane, or would be.
  type: list
  elements: str
  returned: with O(state=control_plane)
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _guard,
    _guard_options,
    _kube_member,
    _kube_upgrade,
    _kube_version,
    _kubeadm,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def judged(module: AnsibleModule) -> dict[str, Any]:
    """Say what is due, or why it may not be."""
    target = module.params["version"]
    look = _kube_upgrade.look(_kube_member.api(), module.params["servers"])
    reasons = _kube_version.judge(target, look)
    if reasons:
        module.fail_json(msg=f"Kubernetes can't be brought to {target}: {'; '.join(reasons)}", reasons=reasons)
    gone = _kube_version.gone(look, target)
    if gone:
        module.warn(f"somebody has used what Kubernetes {target} no longer serves: {', '.join(gone)}")
    return {
        "changed": False,
        "due": bool(look.servers_due(target) or look.nodes_due(target) or look.cluster != target),
        "control_planes": look.servers_due(target),
        "nodes": look.nodes_due(target),
    }


def kubeadm(module: AnsibleModule) -> _kubeadm.Kubeadm:
    """kubeadm of the version."""
    return _kubeadm.Kubeadm(module.params["config"], program=_kube_upgrade.program(module.params["version"]))


def control_plane(module: AnsibleModule) -> dict[str, Any]:
    """Bring the static pods of this host to the version."""
    given, outcome = module.params, _kube_member.Outcome([], [])
    if module.check_mode:  # the programs are not here
        _guard_options.foresee(module, given["guard"])
        return {"changed": True, "steps": [f"bring the static pods to {given['version']}"]}
    wish = _kube_member.Wish(given["name"], given["address"], given["timeout"])
    adapter, lock = _guard_options.adapter(given["guard"]), _guard_options.lock(given["guard"])
    _kube_member.replace(wish, kubeadm(module), adapter, lock, outcome, check=False)
    return {"changed": bool(outcome.steps), "steps": outcome.steps, "diff": _kube_member.shown(outcome)}


def cluster(module: AnsibleModule) -> dict[str, Any]:
    """Bring what kubeadm keeps in the cluster to the version."""
    client = _kube_member.api()
    if _kubeadm.cluster_version(client) == module.params["version"]:
        return {"changed": False}
    if not module.check_mode:
        _kube_upgrade.cluster(kubeadm(module))
    return {"changed": True}


def node(module: AnsibleModule) -> dict[str, Any]:
    """Bring this node's kubelet to the version."""
    given, guard, guarded = module.params, module.params["guard"], None
    if guard:
        guarded = _guard_options.adapter(guard), _guard_options.lock(guard)
    due = _kube_upgrade.node(given["name"], given["version"], given["timeout"], guarded, check=module.check_mode)
    if due and guard and module.check_mode:
        _guard_options.foresee(module, guard)
    return {"changed": due}


STATES = {"judged": judged, "control_plane": control_plane, "cluster": cluster, "node": node}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "version": {"type": "str", "required": True},
            "name": {"type": "str"},
            "address": {"type": "str"},
            "config": {"type": "str"},
            "servers": {"type": "list", "elements": "str", "default": []},
            "guard": _guard_options.OPTION,
            "timeout": {"type": "int", "default": 300},
        },
        required_if=[
            ("state", "judged", ["servers"]),
            ("state", "control_plane", ["name", "address", "config", "guard"]),
            ("state", "cluster", ["config"]),
            ("state", "node", ["name"]),
        ],
        supports_check_mode=True,
    )
    try:
        result = STATES[module.params["state"]](module)
    except _guard.Refused as refusal:
        module.fail_json(msg=f"kubernetes: {refusal}", reasons=refusal.reasons)
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
