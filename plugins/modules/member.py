#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member
short_description: Start, restart, reload or stop one member of a service, and wait until it serves
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The one way in which Holdfast starts, restarts, reloads and stops services.
  - Enables and starts the units, carries out the effects that a bundle reported, and waits until the member is ready.
  - An effect stands in the bundle's state on the host until it has been carried out here, so that a run that
    dies in between loses none.
  - A member of a cluster is stopped or restarted under O(guard). It takes the cluster's lock, so that one member at a
    time is stopped, whichever host or controller asks and whatever C(forks) is; asks whether the cluster can spare the
    member, and does nothing when it can't; hands the lead over when the member leads; and waits until it is back in
    sync. A member that does not work anyway may always be restarted.
extends_documentation_fragment:
  - holdfast.platform.guard
attributes:
  check_mode:
    support: full
    description: Says which steps would be taken, and warns when the guard would refuse them as things are.
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
  state:
    description:
      - V(started) means enabled and running, with RV(steps) for O(effects).
      - V(stopped) means stopped, in the reverse order, and disabled; a unit that ended badly counts as stopped.
    type: str
    choices: [started, stopped]
    default: started
  timeout:
    description: Seconds until the member has to be ready, and after that until it has to be back in sync.
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
    guard:
      kind: etcd
      name: data-a1
      controller: "{{ lookup('holdfast.platform.controller') }}"
      members: {data-a1: "https://10.77.1.11:2379", data-b1: "https://10.77.2.11:2379", data-c1: "https://10.77.3.11:2379"}
      access: "{{ access }}"
      lock: "{{ access | combine({'endpoints': endpoints, 'prefix': '/holdfast/etcd/guard/'}) }}"
"""

RETURN = r"""
steps:
  description: What was done (in check mode, what would be), as C(verb unit).
  type: list
  elements: str
  returned: always
successor:
  description: The member that took the lead over, because this one led. Empty when nobody had to.
  type: str
  returned: always
reasons:
  description: Why the cluster can't spare the member; in check mode, why it could not now.
  type: list
  elements: str
  returned: when the guard refuses, and in check mode
seconds:
  description: How long the steps and the wait took.
  type: float
  returned: always
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle, _guard, _guard_options, _member
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until


def wait(given: Mapping[str, Any]) -> None:
    """Wait until the member serves. Raises Failed with the units' last words when it takes too long."""
    ready = _member.Ready(**{**given["ready"], "statuses": tuple(given["ready"]["statuses"])})
    reason = until(lambda: _member.ask(ready), given["timeout"])
    if reason:
        words = "\n".join(_member.journal(unit) for unit in given["units"])
        raise Failed(f"{given['service']} is not ready after {given['timeout']} s: {reason}\n{words}")


def act(given: Mapping[str, Any], steps: Sequence[_member.Step]) -> None:
    """Carry out the steps; a member that is to serve has to serve afterwards. Raises Failed."""
    for step in steps:
        _member.carry_out(step, given["timeout"])
    if given["state"] == "stopped":
        # Who was stopped on purpose has not failed, whatever a program said that ended in the middle of its start.
        failed = [unit.name for unit in _member.read_units(given["units"]) if unit.active == "failed"]
        if failed:
            run(["systemctl", "reset-failed", "--", *failed])
        return
    if steps:
        _member.insist(_member.read_units(given["units"]))
    if given["ready"]:
        wait(given)


def stopped(steps: Sequence[_member.Step]) -> set[str]:
    """Name the units that the steps stop."""
    return {step.unit for step in steps if step.verb in ("restart", "stop")}


def guarded(given: Mapping[str, Any], steps: Sequence[_member.Step]) -> str:
    """Carry out the steps, under guard when one of them stops a unit. Returns the member that took the lead over."""
    stops = stopped(steps)
    if not stops or not given["guard"]:
        act(given, steps)
        return ""
    # What is down is started before anybody is asked: the cluster may need it to spare the rest.
    rest = [step for step in steps if step.verb not in ("enable", "start")]
    for step in (step for step in steps if step not in rest):
        _member.carry_out(step, given["timeout"])
    adapter, lock = _guard_options.adapter(given["guard"]), _guard_options.lock(given["guard"])
    wish = _guard.Stop(
        given["guard"]["name"],
        leader=bool(stops & adapter.units),
        returns=given["state"] == "started",
        timeout=given["timeout"],
    )
    return _guard.stop(adapter, lock, wish, lambda: act(given, rest))


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
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "guard": _guard_options.OPTION,
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    begin, successor = time.monotonic(), ""
    reasons: list[str] = []
    try:
        if any(effect != "none" for effect in given["effects"].values()) and not module.check_mode:
            run(["systemctl", "daemon-reload"])  # a bundle may have brought the unit files too
        units = _member.read_units(given["units"])
        steps = _member.plan(units, given["effects"]) if given["state"] == "started" else _member.plan_stop(units)
        if module.check_mode:
            reasons = _guard_options.foresee(module, given["guard"]) if stopped(steps) else []
        else:
            if any(unit.stale == "yes" for unit in units):
                run(["systemctl", "daemon-reload"])
            successor = guarded(given, steps)
            _bundle.carried_out(given["bundles"], given["effects"])
    except _guard.Refused as refusal:
        module.fail_json(msg=f"{given['service']}: {refusal}", reasons=refusal.reasons)
    except (Failed, _bundle.Refused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(steps),
        steps=[f"{step.verb} {step.unit}" for step in steps],
        successor=successor,
        reasons=reasons,
        seconds=round(time.monotonic() - begin, 2),
    )


if __name__ == "__main__":
    main()
