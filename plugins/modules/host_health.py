#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_health
short_description: Check a host's foundation in one call
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Checks units, kernel settings, the output of programs and answers over HTTP, and fails with all that is wrong.
  - Changes nothing.
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It only reads.
options:
  units:
    description: Units that have to be active. A failed unit of any name is a problem too.
    type: list
    elements: str
    default: []
  settings:
    description: Kernel settings that have to be in force.
    type: dict
    default: {}
  checks:
    description: Programs whose output has to look a certain way.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description: Program and arguments. It must not change anything.
        type: list
        elements: str
        required: true
      expect:
        description: Regular expression that some line of the output has to match.
        type: str
        required: true
      says:
        description: The complaint when it does not.
        type: str
        required: true
  urls:
    description: Addresses that have to answer a GET request with status 200.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: The address.
        type: str
        required: true
      ca:
        description: File of the authorities that the answer's certificate is checked against.
        type: path
      says:
        description: The complaint when it does not.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Check the host
  holdfast.platform.host_health:
    units: [ssh.service]
    settings: {net.ipv4.tcp_syncookies: 1}
    checks:
      - {argv: [sshd, -T], expect: ^passwordauthentication no$, says: sshd takes passwords}
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _checks, _member
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "dict", "default": {}},
            "checks": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "argv": {"type": "list", "elements": "str", "required": True},
                    "expect": {"type": "str", "required": True},
                    "says": {"type": "str", "required": True},
                },
            },
            "urls": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "url": {"type": "str", "required": True},
                    "ca": {"type": "path"},
                    "says": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    given = module.params
    problems = []
    try:
        if given["units"]:
            states = run(["systemctl", "is-active", "--", *given["units"]], check=False).out
            failed = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).out
            problems += _checks.judge_units(given["units"], states, failed)
    except Failed as error:
        problems.append(str(error))
    problems += _checks.judge_settings(given["settings"], _checks.read_setting)
    for entry in given["checks"]:
        check = _checks.Check(tuple(entry["argv"]), entry["expect"], entry["says"])
        problems += filter(None, [_checks.judge_check(check, _checks.attempt(check))])
    for entry in given["urls"]:
        reason = _member.ask(_member.Ready(entry["url"], entry["ca"]))
        problems += [f"{entry['says']} ({reason})"] if reason else []
    if problems:
        module.fail_json(msg="; ".join(problems), problems=problems)
    module.exit_json(changed=False, problems=[])


if __name__ == "__main__":
    main()
