#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Record an operation in the site's evidence, and verify the record
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Evidence is a file on the controller with one JSON object per line, a record each. A record holds the hash of the
    one before it and its own, so that one that was changed, removed, inserted or moved is found and named.
  - The file alone can't show that its end was cut off, or that all of it was written anew. Therefore managed hosts
    witness it. Each keeps the heads that it has seen in C(/var/lib/holdfast/evidence), and never takes one away.
  - O(state=recorded) and O(state=verified) work on the controller, without a connection. Give them C(run_once).
  - Texts of the site's secrets are replaced by asterisks before anything is written.
attributes:
  check_mode:
    support: full
    description: Records and witnesses nothing; reads and verifies.
  diff_mode:
    support: none
    description: A record has no diff.
options:
  state:
    description:
      - V(recorded) appends a record.
      - V(witnessed) lets the host keep the head of the chain. A host that can't is a warning, never an error.
      - V(read) returns what the host has seen.
      - V(verified) fails when the chain is broken or is not what hosts have seen, and prints the newest operations.
    type: str
    choices: [recorded, witnessed, read, verified]
    default: recorded
  operation:
    description: What is done, the verb. For O(state=recorded).
    type: str
  service:
    description: The service that it is done to.
    type: str
    default: ""
  outcome:
    description: What came of it.
    type: str
    choices: [started, succeeded, failed]
  id:
    description: The RV(id) of the V(started) record of the same operation. Without it a new operation begins.
    type: str
  hosts:
    description: Names of the hosts that it is done to.
    type: list
    elements: str
    default: []
  figures:
    description: Numbers, booleans and texts of one line of at most 200 characters, by name, in seconds and bytes.
    type: dict
    default: {}
  reasons:
    description: Why it failed, by host; together cut to 500 characters on one line.
    type: dict
    default: {}
  unreachable:
    description: Hosts that it should have been done to and that could not be reached.
    type: list
    elements: str
    default: []
  witnessed:
    description: What hosts have seen, RV(chains) by host name. For O(state=verified).
    type: dict
    default: {}
  last:
    description: How many operations are printed.
    type: int
    default: 20
  chain:
    description: Set by the action.
    type: str
  sequence:
    description: Set by the action.
    type: int
  hash:
    description: Set by the action.
    type: str
notes:
  - The file is the variable V(evidence_file) (default C(evidence.jsonl) beside the directory of the secrets).
seealso:
  - module: holdfast.platform.secrets
"""

EXAMPLES = r"""
- name: Record the start
  holdfast.platform.evidence:
    operation: backup
    service: postgresql
    outcome: started
    hosts: "{{ ansible_play_hosts_all }}"
  register: started
  run_once: true

- name: Record the end
  holdfast.platform.evidence:
    id: "{{ started.id }}"
    operation: backup
    service: postgresql
    outcome: succeeded
    figures: {bytes: 1048576, label: 20261121-120000F}
  run_once: true
"""

RETURN = r"""
id:
  description: The operation that the record belongs to.
  type: str
  returned: state is recorded
sequence:
  description: The record's number, from 1.
  type: int
  returned: state is recorded
file:
  description: The file on the controller.
  type: str
  returned: state is recorded or verified
records:
  description: How many records the file has.
  type: int
  returned: state is verified
chains:
  description: What the host has seen, [sequence, hash] of each head by chain.
  type: dict
  returned: state is read
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _witness


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["recorded", "witnessed", "read", "verified"], "default": "recorded"},
            "operation": {"type": "str"},
            "service": {"type": "str", "default": ""},
            "outcome": {"type": "str", "choices": ["started", "succeeded", "failed"]},
            "id": {"type": "str"},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "figures": {"type": "dict", "default": {}},
            "reasons": {"type": "dict", "default": {}},
            "unreachable": {"type": "list", "elements": "str", "default": []},
            "witnessed": {"type": "dict", "default": {}},
            "last": {"type": "int", "default": 20},
            "chain": {"type": "str"},
            "sequence": {"type": "int"},
            "hash": {"type": "str"},
        },
        required_if=[
            ("state", "recorded", ("operation", "outcome")),
            ("state", "witnessed", ("chain", "sequence", "hash")),
        ],
        supports_check_mode=True,
    )
    given = module.params
    if given["state"] not in ("witnessed", "read"):
        module.fail_json(msg=f"state {given['state']} is the action plugin's; call this as a task, not as a module")
    try:
        if given["state"] == "read":
            module.exit_json(changed=False, chains=_witness.read())
        if not module.check_mode:
            _witness.keep(given["chain"], given["sequence"], given["hash"])
    except OSError as error:
        if given["state"] == "read":
            module.fail_json(msg=f"{_witness.ROOT}: {error}")
        module.warn(f"{_witness.ROOT}: this host can't witness the evidence: {error}")
    # Not a change of the host: what was done to it is, and says so itself.
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
