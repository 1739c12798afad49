#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_keys
short_description: Let restic repositories be opened by the passphrases of today
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One phase of the rotation of the passphrase with which a service's copies are encrypted. Which passphrases have to
    open its repositories, and which must not, follows from the versions of the secret C(<service>/backup).
  - In C(added) the next one is let in, in C(retired) the old one is taken out. In C(verified), C(drained) and
    C(retired) it fails unless the repositories are open to the one, or closed to the other.
  - The key that data are encrypted with is the repository's own and stays.
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: There is nothing to show but passphrases.
options:
  service:
    description: The service that makes the copies.
    type: str
    required: true
  settings:
    description: The file with the settings of its backups, on the host.
    type: path
    required: true
  phase:
    description: The phase of the rotation.
    type: str
    choices: [added, verified, switched, drained, retired]
    required: true
  payload:
    description: Private. What the controller's half of this module asks of the host's half.
    type: dict
notes:
  - Run it on one member after the other (C(throttle=1)); two at once could let the same passphrase in twice.
seealso:
  - module: holdfast.platform.restic
"""

EXAMPLES = r"""
- name: Let the repositories be opened by the passphrases of today
  holdfast.platform.restic_keys:
    service: etcd
    settings: /etc/holdfast/backup/etcd.json
    phase: added
  throttle: 1
"""

RETURN = r"""#"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _restic, _restic_keys


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "settings": {"type": "path", "required": True},
            "phase": {
                "type": "str",
                "choices": ["added", "verified", "switched", "drained", "retired"],
                "required": True,
            },
            "payload": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    if module.params["payload"] is None:
        module.fail_json(msg="this module is called by its action plugin only")
    wanted = _restic_keys.Wanted(**module.params["payload"])
    changed = False
    problems: list[str] = []
    try:
        settings = _restic.load(module.params["settings"])
        for repository in settings.repositories:
            if module.params["phase"] in ("added", "retired"):
                changed |= _restic_keys.ensure(settings, repository, wanted, check=module.check_mode)
            if not module.check_mode:
                problems += _restic_keys.problems(settings, repository, wanted)
    except _restic.BackupError as error:
        module.fail_json(msg=str(error), changed=changed)
    if problems:
        module.fail_json(msg="; ".join(problems), changed=changed)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
