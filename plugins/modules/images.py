#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: images
short_description: Bring container images to containerd without a registry
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Imports the images of the lock file that containerd does not have, in the namespace that Kubernetes uses.
  - An image is there when its reference is, and is of the id that the mirror names. So one that was made anew under
    the same tag replaces the old one.
  - All archives are held against their sums before the first one is imported.
attributes:
  check_mode:
    support: full
    description: Says which images are missing. Nothing is transferred. Where containerd does not run, all are.
  diff_mode:
    support: none
    description: Images are not shown.
options:
  names:
    description: Images of the lock file.
    type: list
    elements: str
    required: true
  pull:
    description:
      - Whether containerd pulls the images of which the mirror has no archive, from where their references or the
        files in C(/etc/containerd/certs.d) say. Otherwise such an image is an error.
    type: bool
    default: false
  url:
    description:
      - Where hosts get the archives, when the mirror's directory is published by a web server, C(http) or C(https).
      - Without it, the controller brings what a host lacks.
    type: str
  directory:
    description: The mirror on the controller. See M(holdfast.platform.mirror).
    type: path
  lock:
    description: Another lock file than the collection's.
    type: path
  payload:
    description: Private. What the controller's half of this module asks of the host's half.
    type: dict
seealso:
  - module: holdfast.platform.artifact
  - module: holdfast.platform.mirror
"""

EXAMPLES = r"""
- name: Bring the images
  holdfast.platform.images:
    names: [pause, kube-proxy]
"""

RETURN = r"""
missing:
  description: References of the images that were imported or pulled, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["registry.k8s.io/pause:3.10.2"]
"""

import platform

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _elf, _images
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "pull": {"type": "bool", "default": False},
            "url": {"type": "str"},
            "directory": {"type": "path"},
            "lock": {"type": "path"},
            "payload": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    payload, ask = module.params["payload"], []
    if payload is None:
        module.fail_json(msg="this module is called by its action plugin only")
    try:
        architecture = _elf.of_machine(platform.machine())
        missing = _images.lacking(_images.wanted(payload["wanted"], architecture), _images.found())
        _images.insist(missing, architecture, pull=module.params["pull"])
        ask = [image.sha256 for image in missing if image.sha256 and not image.url]
        ask = [digest for digest in ask if digest not in payload["files"]]
        if missing and not module.check_mode and not ask:
            _images.bring(missing, payload["files"])
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(missing), ask=ask, missing=[image.reference for image in missing])


if __name__ == "__main__":
    main()
