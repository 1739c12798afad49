#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_member
short_description: Let a host found or join a Kubernetes cluster with kubeadm, and keep its control plane as declared
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - With O(state=present) it tells where the host stands. A control plane that belongs to the cluster is brought to its
    configuration in the same call. Static pods that differ from what kubeadm would write today are replaced, and
    certificates that are old are renewed, one control plane at a time under O(guard). What kubeadm keeps in the cluster
    is uploaded anew.
  - With O(state=founded) a host founds a cluster. Ask for that only when no control plane has one.
  - With O(state=joined) a host joins the live cluster. A control plane makes its own token, and takes the place of one
    of its name that lost its data; it is refused while a member of etcd does not answer.
  - With O(state=absent) a host that was taken out of the cluster forgets it. The data of its etcd are put aside as
    C(/var/lib/etcd.removed).
  - What was cut off goes on in the next call.
extends_documentation_fragment:
  - holdfast.platform.guard
attributes:
  check_mode:
    support: full
    description: Says what would be done, and warns when the guard would refuse it as things are.
  diff_mode:
    support: full
    description: Manifests of static pods, and kubeadm's configuration in the cluster.
options:
  state:
    description: What to do.
    type: str
    choices: [present, founded, joined, absent]
    default: present
  name:
    description: Name of the node.
    type: str
    required: true
  address:
    description: Its own address. Needed for every O(state) but V(absent), and so are O(config), O(server), O(servers).
    type: str
  config:
    description: kubeadm's documents. Their C(kubernetesVersion) is taken from the kubeadm that is installed.
    type: str
  server:
    description: Base URL at which nodes reach the cluster.
    type: str
  servers:
    description: Base URLs of all API servers, to see whether there is a cluster.
    type: list
    elements: str
  ca:
    description: File of the cluster's authority.
    type: path
    default: /etc/kubernetes/pki/ca.crt
  control_plane:
    description: Whether the host is a control plane. Other nodes have no authorities, and need O(token) to join.
    type: bool
    default: false
  token:
    description: Bootstrap token of a node that joins. See M(holdfast.platform.kubernetes_token).
    type: str
  cluster_version:
    description: The cluster's version, which has to be that of this host's programs. It comes with O(token).
    type: str
    default: ""
  units:
    description: Units of the control plane that have to be enabled and running, such as timers.
    type: list
    elements: str
    default: []
  effects:
    description: What a bundle asks for, a unit and V(reload) or V(restart) each.
    type: dict
    default: {}
  bundles:
    description: Bundles whose pending effects are done with when the steps succeed.
    type: list
    elements: str
    default: []
  renew_days:
    description: Days of life left with which a control plane's certificates are renewed.
    type: int
    default: 120
  timeout:
    description: Seconds until a static pod has to serve again.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Ask where this worker stands
  holdfast.platform.kubernetes_member:
    name: application-a1
    address: 10.78.1.21
    config: "{{ lookup('ansible.builtin.template', 'kubeadm.yaml.j2') }}"
    server: https://127.0.0.1:7443
    servers: [https://10.78.1.11:6443, https://10.78.2.11:6443, https://10.78.3.11:6443]
  register: worker
"""

RETURN = r"""
standing:
  description:
    - Where the host stood before this call.
    - V(member) belongs to the cluster; V(joinable) does not, and a live cluster is there; V(unformed) does not, and
      nobody answers; V(founding) began to found a cluster.
  type: str
  returned: always
steps:
  description: What was done, or would be.
  type: list
  elements: str
  returned: always
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _bundle,
    _guard,
    _guard_options,
    _kube_member,
    _kube_static,
    _kubeadm,
    _member,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

NEEDED = ["address", "config", "server", "servers"]


def units(given: dict[str, Any], *, check: bool) -> list[str]:
    """Bring the units to enabled and running, and carry out effects. Returns the steps."""
    if any(effect != "none" for effect in given["effects"].values()) and not check:
        run(["systemctl", "daemon-reload"])
    steps = _member.plan(_member.read_units(given["units"]), given["effects"])
    if not check:
        for step in steps:
            _member.carry_out(step, given["timeout"])
        _bundle.carried_out(given["bundles"], given["effects"])
    return [f"{step.verb} {step.unit}" for step in steps]


def act(module: AnsibleModule) -> dict[str, Any]:
    """Do what is asked for."""
    given, check = module.params, module.check_mode
    host = _kubeadm.look()
    if given["state"] == "absent":
        there = host.joined or bool(host.begun)
        return {"standing": _kubeadm.MEMBER, "steps": [], "changed": there if check else _kubeadm.leave()}
    ca = Path(given["ca"])
    standing = _kubeadm.standing(
        host, live=host.joined or not all(_kubeadm.unready(server, ca) for server in given["servers"])
    )
    result: dict[str, Any] = {"standing": standing, "steps": [], "changed": False}
    if given["state"] == "present":
        if standing != _kubeadm.MEMBER or not given["control_plane"]:
            return result
        wish = _kube_member.Wish(given["name"], given["address"], given["timeout"], given["renew_days"] * 86400)
        adapter, lock = _guard_options.adapter(given["guard"]), _guard_options.lock(given["guard"])
        kubeadm = _kubeadm.Kubeadm(given["config"], etcd=_kube_static.tag(_kube_static.present()["etcd"]))
        outcome = _kube_member.keep(wish, kubeadm, adapter, lock, check=check)
        if outcome.halted:
            module.warn(f"{given['name']}: {outcome.halted}")
        if check and any(step.startswith(("replace", "renew")) for step in outcome.steps):
            _guard_options.foresee(module, given["guard"])
        steps = [*outcome.steps, *units(given, check=check)]
        return {**result, "steps": steps, "changed": bool(steps), "diff": _kube_member.shown(outcome)}
    if standing == _kubeadm.MEMBER:
        return result
    if not check:
        kubeadm = _kubeadm.Kubeadm(given["config"])
        if given["state"] == "founded":
            if standing not in (_kubeadm.UNFORMED, _kubeadm.FOUNDING):
                raise Failed(f"{given['name']} can't found a cluster: there is one already; run again, and it joins")
            kubeadm.found()
        elif given["control_plane"]:
            wish = _kube_member.Wish(given["name"], given["address"], given["timeout"])
            etcd = _guard_options.etcd(given["guard"])
            _kube_member.join(wish, kubeadm, etcd, given["server"])
            _guard.settle(_guard_options.adapter(given["guard"]), given["name"], None, given["timeout"])
        else:
            _kubeadm.clear()
            _kube_member.insist(kubeadm.version, given["cluster_version"])
            kubeadm.join(given["token"], given["server"], ca)
        _kube_member.registered(given["name"], given["timeout"])
        units(given, check=False)
    return {**result, "steps": [given["state"]], "changed": True}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "founded", "joined", "absent"], "default": "present"},
            "name": {"type": "str", "required": True},
            "address": {"type": "str"},
            "config": {"type": "str"},
            "server": {"type": "str"},
            "servers": {"type": "list", "elements": "str"},
            "ca": {"type": "path", "default": "/etc/kubernetes/pki/ca.crt"},
            "control_plane": {"type": "bool", "default": False},
            "token": {"type": "str", "no_log": True},
            "cluster_version": {"type": "str", "default": ""},
            "units": {"type": "list", "elements": "str", "default": []},
            "effects": {"type": "dict", "default": {}},
            "bundles": {"type": "list", "elements": "str", "default": []},
            "guard": _guard_options.OPTION,
            "renew_days": {"type": "int", "default": 120},
            "timeout": {"type": "int", "default": 300},
        },
        required_if=[
            ("control_plane", True, ["guard"]),
            *(
                ("state", state, ["address", "config", "server", "servers"])
                for state in ("present", "founded", "joined")
            ),
        ],
        supports_check_mode=True,
    )
    begun = time.monotonic()
    try:
        result = act(module)
    except _guard.Refused as refusal:
        module.fail_json(msg=f"kubernetes: {refusal}", reasons=refusal.reasons)
    except (Failed, OSError, _bundle.Refused) as error:
        module.fail_json(msg=str(error))
    result["seconds"] = round(time.monotonic() - begun, 2)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
