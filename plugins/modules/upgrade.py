#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade
short_description: Bring one member of a service to the newest packages, under guard
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - What is due is asked of the host. A package is due when apt knows a newer version, a unit when it runs since before
    its package was unpacked. So an upgrade that was cut off goes on where it was.
  - A member is upgraded as M(holdfast.platform.member) restarts it. It has its turn, the cluster can spare it, it hands
    the lead over, its packages change while its service still runs, its units restart, and it is back in sync.
extends_documentation_fragment:
  - holdfast.platform.guard
attributes:
  check_mode:
    support: full
    description:
      - Says what is due by the package lists that the host has, and warns when the guard would refuse it as things are.
      - Fetches nothing.
  diff_mode:
    support: none
    description: Packages have no diff.
options:
  service:
    description: The service's name in the catalogue.
    type: str
    required: true
  packages:
    description: The service's packages, and the unit that runs each.
    type: dict
    required: true
  units:
    description: Units of the service, in the order of their start.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(fetched) renews the package lists, downloads what is due, and changes nothing else.
      - V(upgraded) installs it.
    type: str
    choices: [fetched, upgraded]
    default: upgraded
  timeout:
    description: Seconds until the member has to be back in sync.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Fetch what is due
  holdfast.platform.upgrade:
    service: postgresql
    packages: {postgresql-17: patroni.service, patroni: patroni.service, pgbouncer: pgbouncer.service}
    units: [patroni.service, pgbouncer.service]
    state: fetched
"""

RETURN = r"""
packages:
  description: Packages that are due, or were until now, each with its versions.
  type: list
  elements: str
  returned: always
  sample: [patroni 4.0.6-1 -> 4.0.7-3]
units:
  description: Units that are due for a restart, or were until now.
  type: list
  elements: str
  returned: always
leads:
  description: Whether the member leads its cluster.
  type: bool
  returned: state is fetched
successor:
  description: The member that took the lead over, because this one led. Empty when nobody had to.
  type: str
  returned: state is upgraded
seconds:
  description: How long it took.
  type: float
  returned: always
"""

import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _guard,
    _guard_options,
    _member,
    _packages,
    _upgrade,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def renew(given: Mapping[str, Any], due: _upgrade.Due) -> None:
    """Install what is due and restart its units. Raises Failed."""
    if due.packages:
        _upgrade.install(due.packages)
    for unit in due.units:
        _member.carry_out(_member.Step("restart", unit), given["timeout"])
    _member.insist(_member.read_units(given["units"]))


def upgrade(given: Mapping[str, Any], due: _upgrade.Due) -> str:
    """Upgrade the member, under guard. Returns the member that took the lead over."""
    if not given["guard"]:
        renew(given, due)
        return ""
    adapter, lock = _guard_options.adapter(given["guard"]), _guard_options.lock(given["guard"])
    wish = _guard.Stop(given["guard"]["name"], leader=bool(set(due.units) & adapter.units), timeout=given["timeout"])
    return _guard.stop(adapter, lock, wish, lambda: renew(given, due))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "packages": {"type": "dict", "required": True},
            "units": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["fetched", "upgraded"], "default": "upgraded"},
            "guard": _guard_options.OPTION,
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given, begin = module.params, time.monotonic()
    more: dict[str, Any] = {}
    try:
        if given["state"] == "fetched":
            if not module.check_mode:
                _packages.allow_services()  # a run that was killed while it installed may have forbidden them
                due = _upgrade.fetch(given["packages"], given["units"])
            else:
                due = _upgrade.read(given["packages"], given["units"])
            guard = given["guard"]
            more["leads"] = bool(guard) and _guard_options.adapter(guard).load().leads(guard["name"])
            changed = False
        else:
            due = _upgrade.read(given["packages"], given["units"])
            changed = bool(due.packages or due.units)
            if changed and module.check_mode:
                _guard_options.foresee(module, given["guard"])
            more["successor"] = upgrade(given, due) if changed and not module.check_mode else ""
    except _guard.Refused as refusal:
        module.fail_json(msg=f"{given['service']}: {refusal}", reasons=refusal.reasons)
    except Failed as error:
        module.fail_json(msg=f"{given['service']}: {error}")
    module.exit_json(
        changed=changed,
        packages=[f"{name} {change}" for name, change in due.packages.items()],
        units=list(due.units),
        seconds=round(time.monotonic() - begin, 1),
        **more,
    )


if __name__ == "__main__":
    main()
