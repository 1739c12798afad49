#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: trust
short_description: Try whom a host trusts, and what it serves, while the site's CA is rotated
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - What C(playbooks/rotate.yml) asks of every host before it goes on with the rotation of the site's CA.
  - The controller makes certificates for the purpose, for the host's own names and for fifteen minutes. On the host
    they are tried against every file of trusted roots below C(/etc/holdfast), and offered to every port at which its
    services serve their certificates, as the catalogue declares them, in real handshakes.
  - Nothing is changed.
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  state:
    description:
      - V(accepted) fails unless the CA that comes next is trusted by all files and ports.
      - V(served) fails unless all certificates of the host, in files and on ports, are of the CA that signs today.
      - V(refused) fails unless the CA that was retired is trusted by no file and no port. It passes when that one has
        the root of today; then only the certificates were to be renewed.
    type: str
    choices: [accepted, served, refused]
    required: true
  payload:
    description: Private. What the controller's half of this module asks of the host's half.
    type: dict
notes:
  - The host needs the C(openssl) program.
seealso:
  - module: holdfast.platform.certificate
  - module: holdfast.platform.rotation
"""

EXAMPLES = r"""
- name: Make sure that every host trusts the new CA
  holdfast.platform.trust:
    state: accepted
"""

RETURN = r"""
ports:
  description: The ports that were asked, C(service/port).
  type: list
  elements: str
  returned: success
  sample: [etcd/client, etcd/peer]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _trust
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["accepted", "served", "refused"], "required": True},
            "payload": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    if module.params["payload"] is None:
        module.fail_json(msg="this module is called by its action plugin only")
    question = _trust.Question.of(module.params["payload"])
    ask = {"accepted": _trust.accepted, "served": _trust.served, "refused": _trust.refused}[module.params["state"]]
    try:
        problems = ask(question)
    except Failed as failure:
        module.fail_json(msg=str(failure))
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
