#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_encryption
short_description: Which keys the Secrets of a Kubernetes cluster are encrypted with in etcd
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Runs on a control plane. V(loaded) waits until its API server has read the keys that lie on the host, which it does
    once a minute.
  - V(rewritten) writes all Secrets anew unless every one of them is encrypted with the first key already, and makes
    sure of it in etcd itself.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: Says whether Secrets would be written anew.
  diff_mode:
    support: none
    description: Values of Secrets are never shown.
options:
  state:
    description: What has to be so.
    type: str
    choices: [loaded, rewritten]
    required: true
  server:
    description: Base URL of this host's API server.
    type: str
    required: true
  kubeconfig:
    description: File that says how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
  timeout:
    description: Seconds until the API server has to have read the keys.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Encrypt all Secrets with the newest key
  holdfast.platform.kubernetes_encryption:
    state: rewritten
    server: https://10.78.1.11:6443
  run_once: true
"""

RETURN = r"""
encrypted:
  description: How many Secrets are encrypted with which key, by its name; not at all under an empty name.
  type: dict
  returned: with O(state=rewritten)
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_encryption as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Client as Etcd
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["loaded", "rewritten"], "required": True},
            "server": {"type": "str", "required": True},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "timeout": {"type": "int", "default": 180},
            **ACCESS,
        },
        supports_check_mode=True,
    )
    given = module.params
    result: dict[str, object] = {"changed": False}
    try:
        if given["state"] == "loaded":
            if not module.check_mode:
                rules.await_reload(given["server"], Path(given["kubeconfig"]), given["timeout"])
        else:
            etcd = Etcd(given["endpoints"], **{name: given[name] for name in ("ca", "certificate", "key")})
            found = rules.count(rules.stored(etcd))
            changed = bool(set(found) - {rules.first()})
            if changed and not module.check_mode:
                found = rules.renew(Client(read_kubeconfig(given["kubeconfig"])), etcd)
            result = {"changed": changed, "encrypted": dict(found)}
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
