#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup
short_description: Make a full copy of a PostgreSQL cluster in every store
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Runs the unit that the role postgresql has installed, and waits for its end. On a member that is not the leader it
    does nothing.
  - Fails when no store took a copy. A store that did not is named in a warning; the others have theirs.
attributes:
  check_mode:
    support: full
    description: Says that it would make copies; who leads is not asked.
  diff_mode:
    support: none
    description: A copy has no diff.
options:
  timeout:
    description: Seconds that the copies may take.
    type: int
    default: 86400
"""

EXAMPLES = r"""
- name: Make a full copy
  holdfast.platform.postgresql_backup:
"""

RETURN = r"""
leader:
  description: Whether this member is the leader.
  type: bool
  returned: not in check mode
figures:
  description: Newest label, seconds, bytes of the database and of one copy, the stores that took it, those that failed.
  type: dict
  returned: on the leader
  sample:
    label: 20261121-120000F
    seconds: 12.5
    bytes: 31000000
    stored_bytes: 4100000
    repositories: backup-a1, backup-b1
    failed: ''
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_backup as rules
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

UNIT = "holdfast-postgresql-backup@now.service"
RUN = Path("/var/lib/holdfast/postgresql-backup/run.json")


def back_up(timeout: int) -> dict[str, Any]:
    """Run the unit to its end and return what it wrote down. Raises Failed with the unit's last words, ValueError."""
    RUN.unlink(missing_ok=True)
    started = run(["systemctl", "start", UNIT], timeout=timeout, check=False)
    if not RUN.exists():
        said = run(["journalctl", "-q", "-n", "15", "-o", "cat", "-u", UNIT], check=False).out
        raise Failed(f"{UNIT} did not get to its end: {started.err.strip()}\n{said}")
    done: dict[str, Any] = json.loads(RUN.read_text(encoding="utf-8"))
    return done


def main() -> None:
    module = AnsibleModule(argument_spec={"timeout": {"type": "int", "default": 86400}}, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        done = back_up(module.params["timeout"])
    except (Failed, OSError, ValueError) as error:
        module.fail_json(msg=f"postgresql backup: {error}")
    if not done["leader"]:
        module.exit_json(changed=False, leader=False)
    errors = [f"{name}: {entry['error']}" for name, entry in done["stores"].items() if "error" in entry]
    figures = rules.figures(done)
    if len(errors) == len(done["stores"]):
        module.fail_json(msg="postgresql backup: no store took a copy: " + "; ".join(errors), leader=True)
    for reason in errors:
        module.warn(f"postgresql backup: this store has no new copy: {reason}")
    module.exit_json(changed=True, leader=True, figures=figures)


if __name__ == "__main__":
    main()
