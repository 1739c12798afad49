# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static pods of a control plane: what kubeadm would write for the configuration, what is there, and the change.

kubeadm writes manifests when it founds, joins and upgrades, and never again. What it would write today is asked of a
dry run of its own phases, so a changed flag lands without knowledge of kubeadm's templates here.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Object, Unreachable, unready
from ansible_collections.holdfast.platform.plugins.module_utils._kubeadm import KUBERNETES, MANIFESTS, Kubeadm
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock, until

#: In the order in which they change: who is asked by the others first.
PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

#: Names of their processes, as the kernel cuts them (15 characters).
PROCESSES = {pod: pod[:15] for pod in PODS}

#: Where manifests are while their pods must not run; outside of what the kubelet reads.
ASIDE = KUBERNETES / "holdfast-stopped"

#: What etcd reads at its first start only, and kubeadm knows then only.
_FIRST = re.compile(r"(?m)^ *- --initial-cluster(?:-state)?=.*\n")

_IMAGE = re.compile(r"(?m)^ *image: \S+:(\S+)$")
#: Seconds after which a kubelet that has begun anew has looked at its pods: it looks every ten.
_QUIET = 20

_POD = "/api/v1/namespaces/kube-system/pods"


def wanted(kubeadm: Kubeadm) -> dict[str, str]:
    """The manifests that kubeadm would write on this host, by pod. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="holdfast-kubeadm-") as directory:
        env = {"KUBEADM_INIT_DRYRUN_DIR": directory}
        kubeadm("init", "phase", "control-plane", "all", "--dry-run", env=env)
        kubeadm("init", "phase", "etcd", "local", "--dry-run", env=env)
        return {pod: Path(directory, f"{pod}.yaml").read_text(encoding="utf-8") for pod in PODS}


def present() -> dict[str, str]:
    """The manifests that are there, by pod; empty for one that is not."""
    files = {pod: MANIFESTS / f"{pod}.yaml" for pod in PODS}
    return {pod: file.read_text(encoding="utf-8") if file.is_file() else "" for pod, file in files.items()}


def tag(manifest: str) -> str:
    """The tag of a manifest's image, which is a version; empty when there is none."""
    found = _IMAGE.search(manifest)
    return found[1] if found else ""


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The manifests that have to be written, by pod. How a member of etcd first started stays as it is told there."""
    found = {}
    for pod in PODS:
        text = after[pod]
        if pod == "etcd" and before[pod]:
            first = "".join(_FIRST.findall(before[pod]))
            place = _FIRST.search(text)
            text = text[: place.start()] + first + _FIRST.sub("", text[place.start() :]) if place else text
        if text != before[pod]:
            found[pod] = text
    return found


def stop(pod: str, seconds: float, *, kill: bool = False) -> None:
    """Take a pod's manifest away and wait until its process is gone. Raises Failed.

    The process tells: the kubelet of a control plane can't say so without its own API server. kill: its end is not
    waited for, where nobody is to notice the end of what is thrown away; an API server takes half a minute.
    """
    ASIDE.mkdir(mode=0o700, exist_ok=True)
    manifest = MANIFESTS / f"{pod}.yaml"
    if manifest.exists():
        manifest.replace(ASIDE / manifest.name)
    look = ["pkill", "-KILL"] if kill else ["pgrep"]
    if until(lambda: "" if run([*look, "-x", PROCESSES[pod]], check=False).status else pod, seconds, 1):
        raise Failed(f"{pod} still runs {seconds:g} s after its manifest was taken away")


def start(pod: str) -> None:
    """Put a pod's manifest back."""
    manifest = ASIDE / f"{pod}.yaml"
    if manifest.exists():
        manifest.replace(MANIFESTS / manifest.name)


class Pods:
    """The pods of one node, as the API shows them."""

    def __init__(self, client: Client, node: str, clock: Clock = REAL) -> None:
        """Keep how to ask."""
        self.client, self.node, self.clock = client, node, clock

    def _pod(self, pod: str) -> Object | None:
        return self.client.get(f"{_POD}/{pod}-{self.node}")

    def replace(self, pod: str, manifest: str, seconds: float) -> None:
        """Give a pod its new manifest and wait until it serves. Raises Failed."""
        before = _hash(self._pod(pod))
        _durable.write(MANIFESTS / f"{pod}.yaml", manifest, 0o600)
        self._wait(pod, lambda found: trouble(found, unlike=before), seconds)

    def bounce(self, pod: str, seconds: float) -> None:
        """Stop a pod and start it again: what reads its certificates once. Raises Failed."""
        try:
            stop(pod, seconds)
            ended = time.time()
        finally:
            start(pod)
        self._wait(pod, lambda found: trouble(found) or older(found, ended), seconds)

    def settle(self, seconds: float) -> None:
        """Wait until all pods serve and none of them was started anew for a while. Raises Failed.

        A kubelet of another version may take a pod for another one, some seconds after it has begun itself.
        """
        seen: list[tuple[str, str]] = []
        since = self.clock.now()

        def look() -> str:
            nonlocal seen, since
            try:
                found = {pod: self._pod(pod) for pod in PODS}
            except Unreachable as error:
                return str(error)
            begun = [(_hash(pod), str(_began(pod))) for pod in found.values()]
            if begun != seen:
                seen, since = begun, self.clock.now()
            lacks = [f"{pod}: {reason}" for pod, one in found.items() if (reason := trouble(one))]
            if not lacks and self.clock.now() - since < _QUIET:
                return "static pods were started anew a moment ago"
            return "; ".join(lacks)

        reason = until(look, seconds, 1, self.clock)
        if reason:
            raise Failed(f"the control plane of {self.node} does not serve after {seconds:g} s: {reason}")

    def _wait(self, pod: str, judge: Callable[[Object | None], str], seconds: float) -> None:
        def look() -> str:
            try:
                return judge(self._pod(pod))
            except Unreachable as error:  # the only API server of its cluster
                return str(error)

        reason = until(look, seconds, 1, self.clock)
        if reason:
            raise Failed(f"{pod} of {self.node} does not serve after {seconds:g} s: {reason}\n{last_words(pod)}")


def _hash(pod: Object | None) -> str:
    """What the kubelet says of the manifest that a pod is made of."""
    return str((pod or {}).get("metadata", {}).get("annotations", {}).get("kubernetes.io/config.hash", ""))


def trouble(pod: Object | None, unlike: str = "") -> str:
    """Why a static pod does not serve; empty when it does. unlike: the hash of the manifest that was replaced."""
    if pod is None:
        return "the kubelet has not started it"
    if unlike and _hash(pod) == unlike:
        return "the kubelet has not seen its manifest yet"
    return unready(pod)


def _began(pod: Object | None) -> float:
    """When the newest container of a pod was started (whole seconds since 1970)."""
    states = [one.get("state", {}) for one in (pod or {}).get("status", {}).get("containerStatuses", ())]
    moments = [state.get("running", {}).get("startedAt", "1970-01-01T00:00:00Z") for state in states]
    parsed = [datetime.strptime(one, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc) for one in moments]
    return max((one.timestamp() for one in parsed), default=0)


def older(pod: Object | None, than: float) -> str:
    """Why a pod is not the one that was started after a moment (seconds since 1970); empty when it is."""
    return "" if _began(pod) + 1 >= than else "the kubelet has not started it again"


def last_words(pod: str, lines: int = 5) -> str:
    """What a pod's newest container said last."""
    logs = sorted(Path("/var/log/containers").glob(f"{pod}-*.log"), key=lambda path: path.stat().st_mtime)
    return run(["tail", "-n", str(lines), str(logs[-1])], check=False).out if logs else ""
