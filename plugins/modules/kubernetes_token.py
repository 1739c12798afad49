#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_token
short_description: A bootstrap token with which nodes join a Kubernetes cluster in the next minutes
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Runs on a control plane. The token is good for joining and for nothing else, and for a quarter of an hour.
  - Its value is in the result, so the task needs C(no_log).
attributes:
  check_mode:
    support: full
    description: Makes no token; the value is empty.
  diff_mode:
    support: none
    description: A token has no diff.
options:
  kubeconfig:
    description: File that says where the API is, and how to prove who one is.
    type: path
    default: /etc/kubernetes/admin.conf
"""

EXAMPLES = r"""
- name: Let nodes join
  holdfast.platform.kubernetes_token:
  register: token
  no_log: true
"""

RETURN = r"""
token:
  description: The token. Secret.
  type: str
  returned: success
version:
  description: Version of Kubernetes that a node has to have to join, such as v1.36.3.
  type: str
  returned: success
"""

from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_member, _kubeadm
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    token = version = ""
    try:
        if not module.check_mode:
            client = Client(read_kubeconfig(module.params["kubeconfig"]))
            version = _kubeadm.cluster_version(client)
            token = _kube_member.mint(client, datetime.now(timezone.utc))
    except Failed as failure:
        module.fail_json(str(failure))
    module.exit_json(changed=True, token=token, version=version)


if __name__ == "__main__":
    main()
