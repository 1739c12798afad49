# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Kubernetes cluster is brought back from a snapshot of its etcd, in steps that can each be run again.

Every API server ends before the first member of etcd does, every member starts with data of the same snapshot, and who
watched the old history starts anew (kubernetes.io, "Restoring an etcd cluster"; etcd #16028 for the revisions).
"""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable, _etcd_restore
from ansible_collections.holdfast.platform.plugins.module_utils._kube_static import PROCESSES
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

ENCRYPTION = Path("/etc/holdfast/kubernetes/encryption.yaml")

_KEY = re.compile(r"(?m)^ *- \{name: (key-[0-9a-f]+), secret: (\S+)\}$")


def swap(plan: _etcd_restore.Plan) -> None:
    """Put the old data aside and the new ones in their place. Cut off and run again it goes on where it was."""
    if plan.prepared.exists():
        if plan.data.exists():
            if plan.aside.exists():
                raise Failed(f"{plan.aside} and {plan.prepared} are there, and so is {plan.data}: look what they are")
            plan.data.rename(plan.aside)
        plan.prepared.rename(plan.data)


def renew_watches() -> None:
    """Let those of this host start anew who hold watches in the old history."""
    for pod in ("kube-controller-manager", "kube-scheduler"):
        run(["pkill", "-TERM", "-x", PROCESSES[pod]], check=False)
    run(["systemctl", "restart", "kubelet.service"])


def keys(text: str) -> dict[str, str]:
    """The keys of an encryption configuration by name, as the role writes it."""
    return dict(_KEY.findall(text))


def readable(today: str, then: str) -> str:
    """Today's encryption configuration, with which the copy's Secrets can be read too: its keys come after today's."""
    own, old = keys(today), keys(then)
    lacking = [name for name in old if name not in own]
    if not lacking:
        return today
    last = list(_KEY.finditer(today))[-1]
    indent = last.group(0)[: len(last.group(0)) - len(last.group(0).lstrip())]
    added = "".join(f"\n{indent}- {{name: {name}, secret: {old[name]}}}" for name in lacking)
    return today[: last.end()] + added + today[last.end() :]


def take_keys(copy: Path) -> bool:
    """Let the API server read what the copy's keys encrypted. Tells whether there were any that it did not have."""
    if not copy.is_file():
        return False
    today = ENCRYPTION.read_text(encoding="utf-8")
    text = readable(today, copy.read_text(encoding="utf-8"))
    if text == today:
        return False
    _durable.write(ENCRYPTION, text, 0o600)
    return True
