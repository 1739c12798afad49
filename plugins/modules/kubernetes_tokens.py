#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_tokens
short_description: Have the tokens of Kubernetes' service accounts signed by another key
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - For the rotation of the key that signs them, once all API servers sign with the new one.
  - With O(state=asked) the kubelet of this node is started anew when pods have tokens that one of O(old) signed. Pods
    go on.
  - With O(state=renewed) it waits until no pod of this node has such a token, and programs have read their new ones.
  - With O(state=reissued), on a control plane, tokens that lie in Secrets are made anew.
attributes:
  check_mode:
    support: full
    description: Says whether something is due.
  diff_mode:
    support: none
    description: Tokens are secrets.
options:
  state:
    description: The step.
    type: str
    choices: [asked, renewed, reissued]
    required: true
  old:
    description: Public keys that leave, PEM each.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds until all tokens have to be new.
    type: int
    default: 420
  kubeconfig:
    description: File that says where the API is, for O(state=reissued).
    type: path
    default: /etc/kubernetes/admin.conf
"""

EXAMPLES = r"""
- name: Let kubelets fetch new tokens
  holdfast.platform.kubernetes_tokens:
    state: asked
    old: ["{{ old_public_key }}"]
"""

RETURN = r"""
secrets:
  description: Secrets whose token was made anew, or would be.
  type: list
  elements: str
  returned: with O(state=reissued)
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_tokens
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["asked", "renewed", "reissued"], "required": True},
            "old": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "int", "default": 420},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    try:
        old = [_kube_tokens.identity(key) for key in given["old"]]
        if given["state"] == "reissued":
            client = Client(read_kubeconfig(given["kubeconfig"]))
            secrets = _kube_tokens.reissue(client, old, given["timeout"], check=check)
            module.exit_json(changed=bool(secrets), secrets=secrets)
        if given["state"] == "asked":
            module.exit_json(changed=_kube_tokens.ask(old, check=check))
        if not check:
            _kube_tokens.wait(old, given["timeout"])
    except (Failed, OSError) as failure:
        module.fail_json(msg=str(failure))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
