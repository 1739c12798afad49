#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member
short_description: Start, restart or reload one member of a service, and wait until it serves
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The one way in which Holdfast starts, restarts and reloads services.
  - Enables and starts the units, carries out the effects that a bundle reported, and waits until the member is ready.
  - An effect stands in the bundle's state on the host until it has been carried out here, so that a run that
    dies in between loses none.
  - Give a clustered service C(throttle=1) on the task. Each member is then ready again before the next one is touched.
attributes:
  check_mode:
    support: full
    description: Says which steps would be taken.
  diff_mode:
    support: none
    description: A restart has no diff.
options:
  service:
    description: The service's name in the catalogue.
    type: str
    required: true
  units:
    description: Units that have to be enabled and running, in the order of their start.
    type: list
    elements: str
    required: true
  effects:
    description:
      - What a bundle asks for, a unit and V(reload) or V(restart) each.
      - The RV(holdfast.platform.bundle#module:effects) of the bundle.
    type: dict
    default: {}
  bundles:
    description: Bundles whose pending effects are done with when the steps succeed.
    type: list
    elements: str
    default: []
  ready:
    description: How the member tells that it serves. Without it, running units are enough.
    type: dict
    suboptions:
      url:
        description: Address of a GET request.
        type: str
        required: true
      ca:
        description: File of the authorities that the answer's certificate is checked against.
        type: path
      certificate:
        description: File of the client certificate.
        type: path
      key:
        description: File of the client certificate's key.
        type: path
      statuses:
        description: HTTP statuses that mean ready.
        type: list
        elements: int
        default: [200]
  peers:
    description:
      - The same GET at the other members of a cluster. Before a restart each of them has to be ready within 20 seconds;
        otherwise nothing is done.
      - So a configuration that no member can start with stops one member, and not the next one too.
    type: list
    elements: str
  timeout:
    description: Seconds until the member has to be ready.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Run the member
  holdfast.platform.member:
    service: etcd
    units: [etcd.service]
    effects: "{{ __etcd_bundle.effects }}"
    bundles: [etcd]
    ready:
      url: https://10.77.1.11:2379/health
      ca: /etc/holdfast/pki/etcd/ca.crt
      certificate: /etc/holdfast/pki/etcd/etcd.crt
      key: /etc/holdfast/pki/etcd/etcd.key
    peers: [https://10.77.2.11:2379/health, https://10.77.3.11:2379/health]
  throttle: 1
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be), as C(verb unit).
  type: list
  elements: str
  returned: always
seconds:
  description: How long the steps and the wait took.
  type: float
  returned: always
"""

import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle, _member
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


PEER_SECONDS = 20


def readiness(given: Mapping[str, Any], url: str) -> _member.Ready:
    """The readiness call of this member, at another one's address or its own."""
    return _member.Ready(**{**given["ready"], "url": url, "statuses": tuple(given["ready"]["statuses"])})


def spare(given: Mapping[str, Any]) -> None:
    """Raises Failed when the cluster can't spare this member: another one is not ready."""
    for peer in given["peers"] or ():
        reason = _member.wait(readiness(given, peer), PEER_SECONDS)
        if reason:
            raise Failed(f"{given['service']} is not restarted here, because another member is not ready: {reason}")


def wait(given: Mapping[str, Any]) -> None:
    """Wait until the member serves. Raises Failed with the units' last words when it takes too long."""
    reason = _member.wait(readiness(given, given["ready"]["url"]), given["timeout"])
    if reason:
        words = "\n".join(_member.journal(unit) for unit in given["units"])
        raise Failed(f"{given['service']} is not ready after {given['timeout']} s: {reason}\n{words}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "units": {"type": "list", "elements": "str", "required": True},
            "effects": {"type": "dict", "default": {}},
            "bundles": {"type": "list", "elements": "str", "default": []},
            "ready": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "ca": {"type": "path"},
                    "certificate": {"type": "path"},
                    "key": {"type": "path", "no_log": False},
                    "statuses": {"type": "list", "elements": "int", "default": [200]},
                },
            },
            "peers": {"type": "list", "elements": "str"},
            "timeout": {"type": "int", "default": 120},
        },
        required_by={"peers": "ready"},
        supports_check_mode=True,
    )
    given = module.params
    begin = time.monotonic()
    try:
        if any(effect != "none" for effect in given["effects"].values()) and not module.check_mode:
            run(["systemctl", "daemon-reload"])  # a bundle may have brought the unit files too
        units = _member.read_units(given["units"])
        steps = _member.plan(units, given["effects"])
        if not module.check_mode:
            if any(unit.stale == "yes" for unit in units):
                run(["systemctl", "daemon-reload"])
            if any(step.verb == "restart" for step in steps):
                spare(given)
            for step in steps:
                _member.carry_out(step, given["timeout"])
            if steps:
                _member.insist(_member.read_units(given["units"]))
            if given["ready"]:
                wait(given)
            for bundle in given["bundles"]:
                for unit in given["effects"]:
                    _bundle.clear_pending(bundle, unit)
    except (Failed, _bundle.Refused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(steps),
        steps=[f"{step.verb} {step.unit}" for step in steps],
        seconds=round(time.monotonic() - begin, 2),
    )


if __name__ == "__main__":
    main()
