#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mirror
short_description: Fill a directory with the artifacts that hosts install
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Fetches artifacts from their vendors' releases, or builds them from the Go module proxy, and assembles container
    images of what was built. What the directory has already is left as it is.
  - Runs once for a play, on the controller, and connects to no host.
  - Safe beside another run, and after one that was killed.
attributes:
  check_mode:
    description: Lists instead of filling, and says whether anything is missing.
    support: full
  diff_mode:
    description: There is no difference that could be shown.
    support: none
options:
  state:
    description:
      - V(filled) makes what is missing.
      - V(listed) only tells where everything comes from.
    type: str
    choices: [filled, listed]
    default: filled
  source:
    description:
      - V(release) takes programs from their vendors' releases. Hosts pull images from their registries, then.
      - V(build) builds all of it. Needs Go on the controller, and for some images Debian.
    type: str
    choices: [release, build]
    default: release
  names:
    description: Artifacts of the lock file. Empty means all.
    type: list
    elements: str
    default: []
  architecture:
    description: For which hosts. The default is the controller's own.
    type: str
    choices: [amd64, arm64]
  directory:
    description:
      - The mirror. The default is C(HOLDFAST_MIRROR) of the environment, else C(/var/cache/holdfast/mirror) for root
        and C(~/.cache/holdfast/mirror) for others.
    type: path
  lock:
    description: Another lock file than the collection's.
    type: path
seealso:
  - module: holdfast.platform.artifact
"""

EXAMPLES = r"""
- name: Build what Kubernetes needs, where only package proxies can be reached
  holdfast.platform.mirror:
    source: build
    names: [kubernetes, etcd, containerd]
"""

RETURN = r"""
directory:
  description: The mirror.
  type: str
  returned: always
made:
  description: Artifacts that were missing.
  type: list
  elements: str
  returned: always
downloads:
  description: What a site downloads. C(artifact), C(version), C(url) and C(sum) of each.
  type: list
  elements: dict
  returned: always
table:
  description: The same, to be read.
  type: list
  elements: str
  returned: always
"""
