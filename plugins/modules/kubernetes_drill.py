#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_drill
short_description: Prove a copy of a Kubernetes cluster, beside the cluster
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Runs on a control plane. Fetches and checks the copy, and brings it up with a member of etcd and an API server of
    their own, on 127.0.0.1 alone and under limits of CPU and memory, out of the images that are there.
  - Reads all objects through that API, which decrypts Secrets with the keys that came with the copy. Every object of
    the live cluster that is older than the copy has to be in it. Events and leases are left out.
  - Writes an object into the copy, and a watch has to tell. Afterwards all of it is removed, and so is what a drill
    left that was killed.
  - The live cluster is only read.
attributes:
  check_mode:
    support: none
    description: A drill changes nothing that lasts.
  diff_mode:
    support: none
    description: A copy has no diff.
options:
  settings:
    description: File with the backup settings of the service.
    type: path
    default: /etc/holdfast/backup/kubernetes/settings.json
  copy:
    description: The chosen copy, as M(holdfast.platform.restic) returns it.
    type: dict
    required: true
  timeout:
    description: Seconds until the copy's API server has to be ready.
    type: int
    default: 180
seealso:
  - module: holdfast.platform.restic
"""

EXAMPLES = r"""
- name: Choose the newest copy
  holdfast.platform.restic:
    settings: /etc/holdfast/backup/kubernetes/settings.json
    state: chosen
  register: newest

- name: Prove it
  holdfast.platform.kubernetes_drill:
    copy: "{{ newest.chosen }}"
"""

RETURN = r"""
figures:
  description:
    - C(objects), C(secrets) and C(kinds) that were read; C(rpo_seconds), the age of the copy.
    - C(fetch_seconds), C(recover_seconds) until the API was ready, and C(verify_seconds).
  type: dict
  returned: success
"""

import shutil
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_drill, _restic
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "path", "default": "/etc/holdfast/backup/kubernetes/settings.json"},
            "copy": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 180},
        },
    )
    given = module.params
    try:
        settings, copy = _restic.load(given["settings"]), _restic.Copy.of(given["copy"])
        place = settings.home / "drill" / copy.id
        try:
            begin = time.monotonic()
            _restic.fetch(settings, copy, place)
            fetched = time.monotonic() - begin
            figures = _kube_drill.drill(place, copy.time, given["timeout"])
        finally:
            shutil.rmtree(place.parent, ignore_errors=True)
    except (Failed, OSError, _restic.BackupError) as error:
        module.fail_json(msg=str(error))
    figures.update(fetch_seconds=round(fetched, 1), rpo_seconds=round(time.time() - copy.time, 1))
    module.exit_json(changed=False, figures=figures)


if __name__ == "__main__":
    main()
