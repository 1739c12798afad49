#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Keep the journal of the rotation of secrets
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - What C(playbooks/rotate.yml) asks before and after each phase. The journal of a rotation is part of the secret's
    entry in the site's secret store, so that intent, new value and phase are durable in one step.
  - The phases are C(prepared), C(added), C(verified), C(switched), C(drained) and C(retired). A rotation that was
    stopped anywhere goes on where it was when it is begun again.
  - A second controller is refused, by the store while they share one, and by the hosts when they don't.
  - All states but V(fenced) work on the controller, without a connection. Give them C(run_once).
attributes:
  check_mode:
    support: full
    description: Says what could be done, and refuses what could not; writes nothing.
  diff_mode:
    support: none
    description: Values are never shown.
options:
  state:
    description:
      - V(begun) makes the new values of O(secrets), or of all that are due, and goes on with what is under way.
      - V(entered) comes before the hosts are told of a phase, V(finished) after they all have carried it out.
      - V(closed) forgets the old values of what is retired.
      - V(aborted) turns rotations round. The phases that are left then take the new value back.
      - V(fenced) lets a host know which controller rotates the secrets of O(owner); it fails when that is another one.
      - V(listed) returns what is known of every secret.
    type: str
    choices: [begun, entered, finished, closed, aborted, fenced, listed]
    required: true
  secrets:
    description: Secrets, each as C(owner/name). For V(begun) and V(aborted).
    type: list
    elements: str
    default: []
  due:
    description:
      - Instead of O(secrets), all whose lifetime is over, and all whose rotation is under way.
      - For V(entered), whether old certificates get their successors too.
    type: bool
    default: false
  phase:
    description: For V(entered) and V(finished).
    type: str
    choices: [prepared, added, verified, switched, drained, retired]
  owner:
    description: For V(fenced).
    type: str
  take_over:
    description: A person says that the controller which is at work, if any, is dead.
    type: bool
    default: false
  controller:
    description: Set by the action.
    type: str
  token:
    description: Set by the action.
    type: int
  lease:
    description: Set by the action.
    type: int
  gone:
    description: Set by the action.
    type: list
    elements: str
    default: []
seealso:
  - plugin: holdfast.platform.credentials
    plugin_type: lookup
  - plugin: holdfast.platform.postgresql_roles
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Begin, or go on
  holdfast.platform.rotation:
    state: begun
    secrets: [postgresql/orders]
  run_once: true

- name: Keep other controllers out
  holdfast.platform.rotation:
    state: fenced
    owner: postgresql
"""

RETURN = r"""
table:
  description: What is known of every secret, as lines for people.
  type: list
  elements: str
  returned: state is listed
holder:
  description: The controller that is at work instead.
  type: str
  returned: state is fenced and it is refused
services:
  description: The services that the phase concerns, in alphabetical order.
  type: list
  elements: str
  returned: state is entered
rotations:
  description:
    - The secrets that the state was about; never a value. Times are ISO 8601 in UTC.
  type: list
  elements: dict
  returned: state is not fenced
  contains:
    secret:
      description: Its path.
      type: str
    created:
      description: When the value in use was made.
      type: str
    kind:
      description: Its policy's rotation.
      type: str
    due:
      description: When its lifetime is over; empty when it has none.
      type: str
    id:
      description: Of the rotation under way.
      type: str
    phase:
      description: The last phase that is complete.
      type: str
    next_phase:
      description: The one that comes now.
      type: str
    began:
      description: When the rotation began.
      type: str
    controller:
      description: Who is at work on it.
      type: str
    back:
      description: Whether it was aborted.
      type: bool
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _fence
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["begun", "entered", "finished", "closed", "aborted", "fenced", "listed"],
                "required": True,
            },
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "due": {"type": "bool", "default": False},
            "phase": {
                "type": "str",
                "choices": ["prepared", "added", "verified", "switched", "drained", "retired"],
            },
            "owner": {"type": "str"},
            "take_over": {"type": "bool", "default": False},
            "controller": {"type": "str"},
            "token": {"type": "int", "no_log": False},
            "lease": {"type": "int"},
            "gone": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[
            ("state", "entered", ("phase",)),
            ("state", "finished", ("phase",)),
            ("state", "fenced", ("owner", "controller", "token", "lease")),
        ],
        supports_check_mode=True,
    )
    given = module.params
    if given["state"] != "fenced":
        module.fail_json(msg=f"state {given['state']} is the action plugin's; call this as a task, not as a module")
    if not module.check_mode:
        lease = _fence.Lease(given["controller"], given["token"], time.time() + given["lease"])
        gone = None if given["take_over"] else frozenset(given["gone"])
        try:
            _fence.take(given["owner"], lease, gone=gone)
        except _fence.Held as other:
            module.fail_json(msg=str(other), holder=other.holder)
        except Failed as failure:
            module.fail_json(msg=str(failure))
    # Not a change of the host: what is done under the lease is, and says so itself.
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
