#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_objects
short_description: Bring a set of objects to a Kubernetes cluster, and take away what is left over
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Applies any number of manifests in one call, by server-side apply, and waits until what they describe is ready.
  - The API judges all of them before the first one is changed. What it would refuse stops the task, with all reasons.
  - A set is an ApplySet (KEP-3659). Members that are not declared any more are deleted; objects of others are left
    alone, and an object of another set is refused.
  - Namespaces and definitions of kinds go first, admission webhooks last.
attributes:
  check_mode:
    support: full
    description: Asks the API for a dry run. Where there is no cluster yet, everything would be created.
  diff_mode:
    support: full
    description: Both sides of every object that changes. Values of Secrets are never shown.
options:
  name:
    description: Name of the set; its parent is the ConfigMap of that name.
    type: str
    required: true
  namespace:
    description: Namespace of the parent.
    type: str
    default: kube-system
  objects:
    description:
      - Manifests; objects of kind C(List) are taken apart.
      - C($(KUBERNETES_VERSION)) in them is the version that all API servers of a cluster of kubeadm's have at least,
        such as V(v1.36.3), whatever the lock file says.
    type: list
    elements: dict
    required: true
  kubeconfig:
    description: File that says where the API is, and how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
  wait:
    description: Seconds to wait until the objects are ready; V(0) not to.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Lay the foundation of the cluster
  holdfast.platform.kubernetes_objects:
    name: holdfast-base
    objects: "{{ lookup('ansible.builtin.template', 'base.yml.j2') | from_yaml_all }}"
  run_once: true
"""

RETURN = r"""
created:
  description: Objects that were not there, as C(Deployment.apps kube-system/coredns).
  type: list
  elements: str
  returned: always
configured:
  description: Objects that were another way.
  type: list
  elements: str
  returned: always
pruned:
  description: Objects that are not declared any more.
  type: list
  elements: str
  returned: always
waiting:
  description: Why objects are not ready, looked at once; empty when some would change first.
  type: list
  elements: str
  returned: in check mode
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_set, _kubeadm
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._kube_apply import Apply, Outcome
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

_VERSION = "$(KUBERNETES_VERSION)"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "kube-system"},
            "objects": {"type": "list", "elements": "dict", "required": True},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "wait": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
        no_log=True,  # in the host's journal
    )
    given = module.params
    # What a verbose run shows of a task; objects may be Secrets.
    shown = {"invocation": {"module_args": {name: value for name, value in given.items() if name != "objects"}}}
    try:
        if module.check_mode and not Path(given["kubeconfig"]).is_file():
            keys = [str(_kube_set.key(one)) for one in _kube_set.parse(given["objects"])]
            module.exit_json(**_result(Outcome(created=keys)), waiting=[], **shown)
        client = Client(read_kubeconfig(given["kubeconfig"]))
        apply, objects = Apply(client, given["name"], given["namespace"]), filled(client, given["objects"])
        outcome = apply.run(objects, check=module.check_mode)
        if module.check_mode:
            waiting = [] if outcome.changed else apply.wait(objects, 0)
            module.exit_json(**_result(outcome), waiting=waiting, **shown)
        if given["wait"]:
            reasons = apply.wait(objects, given["wait"])
            if reasons:
                told = f"not ready after {given['wait']} s: {'; '.join(reasons)}. Run again to go on."
                module.fail_json(told, **_result(outcome), **shown)
    except Failed as failure:
        module.fail_json(str(failure), **shown)
    module.exit_json(**_result(outcome), **shown)


def filled(client: Client, objects: list[dict[str, object]]) -> list[dict[str, object]]:
    """The objects with the cluster's version where they ask for it. Raises Failed when it can't be told."""
    text = json.dumps(objects)
    if _VERSION not in text:
        return objects
    version = _kubeadm.cluster_version(client)
    if not version:
        raise Failed(f"objects: {_VERSION} stands there, and the cluster has no ConfigMap kubeadm-config that tells it")
    found: list[dict[str, object]] = json.loads(text.replace(_VERSION, version))
    return found


def _result(outcome: Outcome) -> dict[str, object]:
    return {
        "changed": outcome.changed,
        "created": outcome.created,
        "configured": outcome.configured,
        "pruned": outcome.pruned,
        "diff": [_kube_set.told(*entry) for entry in outcome.diff],
    }


if __name__ == "__main__":
    main()
