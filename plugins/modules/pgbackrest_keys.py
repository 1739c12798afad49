#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_keys
short_description: Let pgBackRest repositories be opened by the passphrases of today
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One phase of the rotation of the passphrase with which the copies of PostgreSQL are encrypted. Which passphrases
    have to open the repositories, and which must not, follows from the versions of the secret C(postgresql/backup).
  - The leader, which makes the copies, sees to it in every phase but C(verified), since a copy that began before
    could have written the passphrase of its time. In C(verified) every member tries. It fails when a passphrase that
    should open a repository does not, or when the one that is given up still does.
  - It waits until the member makes no copy.
  - The keys that data are encrypted with lie in what the passphrase encrypts, and stay.
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: There is nothing to show but passphrases.
options:
  settings:
    description: The file with the settings of the program that makes copies, on the host.
    type: path
    required: true
  phase:
    description: The phase of the rotation.
    type: str
    choices: [added, verified, switched, drained, retired]
    required: true
  timeout:
    description: Seconds to wait for a copy that is being made.
    type: int
    default: 600
  payload:
    description: Private. What the controller's half of this module asks of the host's half.
    type: dict
seealso:
  - module: holdfast.platform.restic_keys
"""

EXAMPLES = r"""
- name: Let the repositories be opened by the passphrases of today
  holdfast.platform.pgbackrest_keys:
    settings: /etc/holdfast/postgresql/backup.json
    phase: added
"""

RETURN = r"""
leader:
  description: Whether the member leads.
  type: bool
  returned: success
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_keys as keys
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "path", "required": True},
            "phase": {
                "type": "str",
                "choices": ["added", "verified", "switched", "drained", "retired"],
                "required": True,
            },
            "timeout": {"type": "int", "default": 600},
            "payload": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["payload"] is None:
        module.fail_json(msg="this module is called by its action plugin only")
    accepted, refused = given["payload"]["accepted"], given["payload"]["refused"]
    passphrases = keys.Passphrases(accepted[0], "".join(accepted[1:2]), "".join(refused))
    verified, check = given["phase"] == "verified", module.check_mode
    leader = False

    def tend(repository: keys.Repository) -> tuple[bool, list[str]]:
        """Do what the phase wants; whether anything was changed, and what is wrong afterwards."""
        try:
            if verified:
                return False, [] if check else list(keys.closed(repository, passphrases))
            # What is written is read back.
            changed = leader and keys.ensure(repository, passphrases, check=check)
            return changed, list(keys.still_open(repository, passphrases)) if leader and not check else []
        except Failed as failure:
            return False, [str(failure)]

    done: list[tuple[bool, list[str]]] = []
    try:
        settings = json.loads(Path(given["settings"]).read_text(encoding="utf-8"))
        with keys.no_copy_is_made(given["timeout"]):
            leader = keys.leads(settings["socket"], settings["port"])
            repositories = [keys.Repository(store, settings["stanza"]) for store in settings["stores"]]
            with ThreadPoolExecutor() as pool:  # a program of its own for each file and passphrase
                done = list(pool.map(tend, repositories))
    except (Failed, OSError, ValueError, LookupError) as error:
        module.fail_json(msg=f"pgBackRest: {error}")
    changed = any(one for one, _ in done)
    if problems := [problem for _, found in done for problem in found]:
        module.fail_json(msg=f"pgBackRest: {'; '.join(problems)}", changed=changed)
    module.exit_json(changed=changed, leader=leader)


if __name__ == "__main__":
    main()
