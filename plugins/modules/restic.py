#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restic
short_description: Make, judge and choose the copies of a service in its restic repositories
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Works with the settings that a service's role has laid down on the member, the same ones that its timer uses.
  - With O(state=made) one round is run now. In a service where one member makes the copy, the others do nothing.
    A repository that fails keeps no other one from its copy; the call fails nevertheless, and names it.
  - With O(state=verified) it fails when a repository can't be read, or when its newest copy is older than one and a
    half times what the service declares.
  - With O(state=chosen) it says which copy O(copy) asks for.
attributes:
  check_mode:
    support: full
    description: Reads, and makes no copy.
  diff_mode:
    support: none
    description: A copy has no diff.
options:
  settings:
    description: File with the settings of the service.
    type: path
    required: true
  state:
    description: What to do.
    type: str
    choices: [made, verified, chosen]
    required: true
  copy:
    description:
      - The id of a copy (8 hexadecimal digits or more), or a time such as V(2026-11-21T10:00:00Z), which means the
        newest copy before it. Empty is the newest.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Choose the newest copy before ten o'clock
  holdfast.platform.restic:
    settings: /etc/holdfast/backup/etcd.json
    state: chosen
    copy: '2026-11-21T10:00:00Z'
  register: __etcd_copy
"""

RETURN = r"""
repositories:
  description: What was done in each repository, with C(id), C(time), C(seconds) and C(error).
  type: dict
  returned: with O(state=made)
bytes:
  description: Size of the copy.
  type: int
  returned: with O(state=made)
figures:
  description: What the service says of the copy.
  type: dict
  returned: with O(state=made)
chosen:
  description: The chosen copy, with C(repository), C(id) and C(time) (seconds since 1970).
  type: dict
  returned: with O(state=chosen)
problems:
  description: What is wrong with the repositories, in words.
  type: list
  elements: str
  returned: with O(state=verified) and O(state=chosen)
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _restic as rules


def make(module: AnsibleModule, settings: rules.Settings) -> dict[str, Any]:
    """One round now."""
    if module.check_mode:
        return {"changed": True, "repositories": {}, "bytes": 0, "figures": {}}
    done = rules.backup(settings)
    if done is None:
        return {"changed": False, "repositories": {}, "bytes": 0, "figures": {}}
    if rules.complaints(done):
        raise rules.BackupError("; ".join(rules.complaints(done)))
    figures = done["manifest"]["figures"]
    return {"changed": True, "repositories": done["repositories"], "bytes": done["bytes"], "figures": figures}


def verify(module: AnsibleModule, settings: rules.Settings) -> dict[str, Any]:
    """Is there a fresh copy in every repository?"""
    since = Path(module.params["settings"]).stat().st_mtime
    problems = rules.judge(settings, rules.all_copies(settings), since=since, now=time.time())
    if problems:
        module.fail_json(msg=f"backup of {settings.service}: {'; '.join(problems)}", problems=problems)
    return {"changed": False, "problems": []}


def choose(module: AnsibleModule, settings: rules.Settings) -> dict[str, Any]:
    """Which copy is meant; a repository that can't be read is no obstacle as long as another one has it."""
    found = rules.all_copies(settings)
    problems = [f"repository {name}: {said}" for name, said in found.items() if isinstance(said, str)]
    try:
        copy = rules.choose([copy for copies in found.values() for copy in copies if isinstance(copy, rules.Copy)],
                            module.params["copy"])  # fmt: skip
    except rules.BackupError as error:
        raise rules.BackupError("; ".join([str(error), *problems])) from error
    return {"changed": False, "chosen": asdict(copy), "problems": problems}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["made", "verified", "chosen"], "required": True},
            "copy": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    act = {"made": make, "verified": verify, "chosen": choose}[module.params["state"]]
    try:
        module.exit_json(**act(module, rules.load(module.params["settings"])))
    except rules.BackupError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
