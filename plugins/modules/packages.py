#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install a service's packages without starting the service
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Installs what is missing in one call and starts nothing. The service starts once it has its configuration.
  - What a host has to be for the service is checked first, as O(requires) says.
  - A package that is installed is left as it is, whatever its version; versions change through the V(upgrade) verb of
    a role.
  - Complete in check mode on a host where nothing is installed, and where the package lists are missing.
attributes:
  check_mode:
    support: full
    description: Says which packages would be installed.
  diff_mode:
    support: none
    description: Packages have no diff.
options:
  names:
    description: Packages that have to be there.
    type: list
    elements: str
    required: true
  before:
    description:
      - Files that a package reads while it is being installed; a path and its content each.
      - They are written only when something has to be installed. A bundle owns them afterwards, if anything does.
    type: dict
    default: {}
  data:
    description:
      - Which version the service's data on the host have to be of, when there are any. Packages of another major
        version can't run them, and nothing is installed then.
    type: dict
    suboptions:
      files:
        description: Pattern of the files in which the data tell their version.
        type: str
        required: true
      version:
        description: The version that the packages are for.
        type: str
        required: true
      key:
        description: The variable that asks for it, for the message.
        type: str
        required: true
  requires:
    description: What the host has to be. If it is not, nothing is changed, and all that it lacks is told.
    type: dict
    suboptions:
      kernel:
        description: The oldest version of the kernel.
        type: str
        default: ''
      memory:
        description: Memory in MiB.
        type: int
        default: 0
      swap:
        description: Whether the host may have swap.
        type: bool
        default: true
      controllers:
        description: Controllers of cgroups, of either version.
        type: list
        elements: str
        default: []
      modules:
        description:
          - Kernel modules, each with a path that is there when it is in force. One that can be loaded is enough.
        type: dict
        default: {}
      ports:
        description: TCP ports that nobody may listen on as long as packages are missing.
        type: list
        elements: int
        default: []
      unit:
        description: The service's own unit. While it runs, who listens on O(requires.ports) is the service itself.
        type: str
        default: ''
"""

EXAMPLES = r"""
- name: Install the packages
  holdfast.platform.packages:
    names: [postgresql-17, patroni]
    before:
      /etc/postgresql-common/createcluster.d/holdfast.conf: "create_main_cluster = false\n"
"""

RETURN = r"""
installed:
  description: The packages that were set up, with what they needed.
  type: list
  elements: str
  returned: always
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _member, _packages, _requirements
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "before": {"type": "dict", "default": {}},
            "data": {
                "type": "dict",
                "options": {
                    "files": {"type": "str", "required": True},
                    "version": {"type": "str", "required": True},
                    "key": {"type": "str", "required": True, "no_log": False},
                },
            },
            "requires": {
                "type": "dict",
                "options": {
                    "kernel": {"type": "str", "default": ""},
                    "memory": {"type": "int", "default": 0},
                    "swap": {"type": "bool", "default": True},
                    "controllers": {"type": "list", "elements": "str", "default": []},
                    "modules": {"type": "dict", "default": {}},
                    "ports": {"type": "list", "elements": "int", "default": []},
                    "unit": {"type": "str", "default": ""},
                },
            },
        },
        supports_check_mode=True,
    )
    try:
        if module.params["data"]:
            _packages.insist(**module.params["data"])
        wanted = _packages.read_missing(module.params["names"])
        if module.params["requires"]:
            unit, options = module.params["requires"]["unit"], dict(module.params["requires"])
            del options["unit"]
            requires = _requirements.Wanted(**options)
            # Later the service itself listens there.
            if not wanted or (unit and _member.read_units([unit])[0].runs):
                requires = dataclasses.replace(requires, ports=())
            problems = _requirements.judge(requires, _requirements.read(requires))
            if problems:
                module.fail_json(msg="nothing was changed: " + "; ".join(problems), problems=problems)
        if not module.check_mode:
            _packages.allow_services()  # a run that was killed while it installed may have forbidden them
        installed: list[str] = []
        if wanted:
            if not module.check_mode:
                _packages.write_before(module.params["before"])
            installed = _packages.install(wanted, check=module.check_mode)
    except Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(wanted), installed=installed)


if __name__ == "__main__":
    main()
