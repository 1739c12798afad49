#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Install programs that the distribution does not package
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Brings the versions that the lock file names into use, for all artifacts of a host in one call. Each version has a
    directory of its own below C(/opt/holdfast/artifacts); a link says which is in use.
  - Sums, contents and architecture are checked before anything that is in use changes. A version that the host
    has is linked and not fetched, so going back to an older lock file is a change of links.
  - It starts and restarts nothing.
  - The same call tells which container images the host lacks, for M(holdfast.platform.images).
attributes:
  check_mode:
    support: full
    description: Says what would be installed and linked. Nothing is transferred.
  diff_mode:
    support: full
    description: Shows which version is in use.
options:
  names:
    description: Artifacts of the lock file that have programs for hosts.
    type: list
    elements: str
    required: true
  url:
    description:
      - Where hosts get them, when the mirror's directory is published by a web server, C(http) or C(https). What they
        get is held against the sums of the mirror on the controller.
      - Without it, the controller brings what a host lacks.
    type: str
  images:
    description: Images of the lock file, of which RV(missing_images) tells those that containerd does not have.
    type: list
    elements: str
    default: []
  hold:
    description:
      - A file for each artifact that must not change while this file is there, such as the kubelet of a node that has
        joined its cluster. It stays at the version in use, which RV(held) tells. One that was never installed is.
    type: dict
    default: {}
  keep:
    description: How many versions stay on the host, those in use now and before among them.
    type: int
    default: 2
  state:
    description:
      - V(present) brings the versions into use. V(fetched) leaves that to a later call, and has them ready in
        RV(places).
    type: str
    choices: [present, fetched]
    default: present
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
  - module: holdfast.platform.mirror
"""

EXAMPLES = r"""
- name: Install the programs
  holdfast.platform.artifact:
    names: [containerd, cni-plugins, kubernetes]
    images: [pause, kube-proxy]
    hold: {kubernetes: /etc/kubernetes/kubelet.conf}
  register: programs

- name: Install what a web server of the site holds
  holdfast.platform.artifact:
    names: [etcd]
    url: http://mirror.example.org/holdfast
"""

RETURN = r"""
programs:
  description: The programs in use that are others now, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [kubeadm, kubectl, kubelet]
missing:
  description: Artifacts that were fetched, or would be in check mode.
  type: list
  elements: str
  returned: success
places:
  description: The directory of each artifact's version, with its programs; of those that are not held.
  type: dict
  returned: success
  sample: {etcd: /opt/holdfast/artifacts/etcd/3.6.8-67e8f4a570be}
held:
  description: Artifacts that stay at another version than the lock file's, because of O(hold), and at which.
  type: dict
  returned: success
  sample: {kubernetes: 1.35.4}
missing_images:
  description: References of the images that containerd lacks, or has with other contents. Where it does not run, all.
  type: list
  elements: str
  returned: success
"""

import platform

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _artifact, _images
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "url": {"type": "str"},
            "images": {"type": "list", "elements": "str", "default": []},
            "hold": {"type": "dict", "default": {}},
            "keep": {"type": "int", "default": 2},
            "state": {"type": "str", "choices": ["present", "fetched"], "default": "present"},
            "directory": {"type": "path"},
            "lock": {"type": "path"},
            "payload": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    payload = module.params["payload"]
    if payload is None:
        module.fail_json(msg="this module is called by its action plugin only")
    try:
        host = _artifact.Host(platform.machine(), payload["files"])
        wanted = [_artifact.Wanted.of(given) for given in payload["wanted"]]
        held = host.held(wanted, module.params["hold"])
        steps = host.plan([one for one in wanted if one.name not in held])
        images = _images.wanted(payload["images"], host.architecture)
        missing_images = _images.lacking(images, _images.found()) if images else []
        # What neither a web server has nor was brought here yet.
        ask = [step.offer.sha256 for step in steps if step.fetch and not step.offer.url]
        ask = [digest for digest in ask if digest not in payload["files"]]
        fetched = module.params["state"] == "fetched"
        if not module.check_mode and not ask:
            host.fetch(steps) if fetched else host.apply(steps, module.params["keep"])
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    changed = [] if fetched else [step for step in steps if step.changed]
    module.exit_json(
        changed=bool(changed) or any(step.fetch for step in steps),
        ask=ask,
        places={step.wanted.name: str(step.target) for step in steps},
        programs=[] if ask and not module.check_mode else _artifact.changed_programs(changed),
        missing=[step.wanted.name for step in steps if step.fetch],
        held=held,
        missing_images=[image.reference for image in missing_images],
        diff=[
            {
                "before_header": str(step.target.parent / "current"),
                "after_header": str(step.target.parent / "current"),
                "before": f"{step.before}\n" if step.before else "",
                "after": f"{step.target.name}\n",
            }
            for step in changed
        ],
    )


if __name__ == "__main__":
    main()
