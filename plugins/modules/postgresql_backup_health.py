#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup_health
short_description: Check the backups of a PostgreSQL cluster
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - On the leader asks every store what it holds, and looks at the WAL that waits to be archived. Fails with all that is
    wrong. On other members it does nothing. Changes nothing.
  - A store that does not answer, a newest copy that is too old or damaged, WAL that a store misses, WAL that is not
    archived within the time that may be lost.
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It only reads.
options:
  every:
    description: Seconds between two full copies.
    type: int
    required: true
  rpo:
    description: Seconds of commits that may be lost.
    type: int
    default: 300
  patience:
    description: Seconds that the first copy of a new cluster gets.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Check the backups
  holdfast.platform.postgresql_backup_health:
    every: 21600
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
leader:
  description: Whether this member is the leader.
  type: bool
  returned: always
no_way_back:
  description: Why there is no copy that is young enough, in any store. Empty when there is one, and on other members.
  type: str
  returned: always
"""

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_backup as rules
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

REPORT = ["runuser", "-u", "postgres", "--", "/usr/local/lib/holdfast/pgbackrest_postgresql.py", "report"]


def settled(patience: int) -> dict[str, Any]:
    """The report, once the first copy of a new cluster has had the time to be made. Raises Failed, ValueError."""
    end = time.monotonic() + patience
    while True:
        report: dict[str, Any] = json.loads(run(REPORT, timeout=300).out)
        if not report["leader"] or not rules.first_awaited(report) or time.monotonic() > end:
            return report
        time.sleep(3)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "every": {"type": "int", "required": True},
            "rpo": {"type": "int", "default": 300},
            "patience": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        report = settled(given["patience"])
    except (Failed, ValueError) as error:
        module.fail_json(
            msg=f"postgresql backups: {error}", problems=[str(error)], leader=False, no_way_back=str(error)
        )
    wish = rules.Wish(given["every"], given["rpo"])
    problems = rules.judge(wish, report) if report["leader"] else []
    result = {
        "problems": problems,
        "leader": report["leader"],
        "no_way_back": rules.way_back(wish, report) if report["leader"] else "",
    }
    if problems:
        module.fail_json(msg="postgresql backups: " + "; ".join(problems), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
