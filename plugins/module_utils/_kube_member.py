# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane in its cluster: its way in, and being kept as declared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _durable,
    _etcd_member,
    _guard,
    _kube_static,
    _kube_version,
    _kubeadm,
)
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Client as Etcd
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Status
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Lock
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused, read_kubeconfig
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

#: Minutes for which a token lets a host join.
_TOKEN_LIFE = 15


@dataclass(frozen=True)
class Wish:
    """The control plane that this host is to be: name, own address, and how long (seconds) a step may take."""

    name: str
    address: str
    timeout: float
    renew_before: float = 0  # seconds of life left with which a certificate is old

    @property
    def etcd(self) -> _etcd_member.Wish:
        """Its member of etcd."""
        return _etcd_member.Wish(self.name, f"https://{self.address}:2380")


def api() -> Client:
    """The cluster as this control plane reaches it."""
    return Client(read_kubeconfig(str(_kubeadm.ADMIN)))


def mint(client: Client, now: datetime) -> str:
    """Make a token with which a host may join in the next minutes."""
    identity, secret = _kubeadm.bootstrap_token()
    expires = (now + timedelta(minutes=_TOKEN_LIFE)).strftime("%Y-%m-%dT%H:%M:%SZ")
    client.request("POST", "/api/v1/namespaces/kube-system/secrets", _kubeadm.token_secret(identity, secret, expires))
    return f"{identity}.{secret}"


def burn(client: Client, token: str) -> None:
    """Make a token worthless."""
    path = f"/api/v1/namespaces/kube-system/secrets/bootstrap-token-{token.partition('.')[0]}"
    try:
        client.request("DELETE", path)
    except Refused as refusal:
        if refusal.status != 404:  # noqa: PLR2004 - HTTP: gone
            raise


def join(wish: Wish, kubeadm: _kubeadm.Kubeadm, etcd: Etcd, server: str) -> None:
    """Bring this control plane into the live cluster, in the place of one of its name that lost its data.

    Raises Failed while a member of etcd is down: with one more, a larger majority would have to answer.
    """
    kubeadm.access()
    client = api()
    insist(kubeadm.version, _kubeadm.cluster_version(client))
    host = _kubeadm.look()
    if not host.begun:
        _forget(wish, etcd, client)
        _kubeadm.clear()
    token = mint(client, datetime.now(timezone.utc))
    try:
        kubeadm.join(token, server)
    finally:
        burn(client, token)


def registered(name: str, seconds: float) -> None:
    """Wait until this host's kubelet has made its Node: kubeadm ends before that, and the next step asks for it.

    Raises Failed.
    """
    client = Client(read_kubeconfig(str(_kubeadm.KUBELET)))

    def look() -> str:
        try:
            return "" if client.get(f"/api/v1/nodes/{name}") else "the cluster doesn't know it"
        except Failed as failure:
            return str(failure)

    reason = until(look, seconds, 0.5)
    if reason:
        raise Failed(f"{name} has joined, and {seconds:g} s later: {reason}; journalctl -u kubelet may tell more")


def _forget(wish: Wish, etcd: Etcd, client: Client) -> None:
    """Take an earlier host of this name out of etcd and of the cluster."""
    live = etcd.members()
    answers = etcd.statuses(live)
    _etcd_member.check_join(wish.etcd, live, [key for key, answer in answers.items() if not isinstance(answer, Status)])
    left_behind = _etcd_member.stale(wish.etcd, live)
    if left_behind:
        etcd.remove(left_behind.id)
    if client.get(f"/api/v1/nodes/{wish.name}"):
        client.request("DELETE", f"/api/v1/nodes/{wish.name}")


def insist(own: str, cluster: str) -> None:
    """Raise Failed when this host's programs don't fit the cluster that it is to join."""
    if cluster and own != cluster:
        raise Failed(
            f"this host has kubeadm and kubelet {own}, and the cluster has {cluster}. Upgrade the cluster first (make "
            f"upgrade SERVICE=kubernetes), or join with a lock file that has {cluster} (mirror_lock)"
        )


def old(report: str, seconds: float) -> list[str]:
    """Certificates that have less than so many seconds to live, by `kubeadm certs check-expiration -o json`."""
    return [
        one["name"]
        for one in json.loads(report)["certificates"]
        if not one["missing"] and not one["externallyManaged"] and one["residualTime"] < seconds
    ]


def renew(kubeadm: _kubeadm.Kubeadm, pods: _kube_static.Pods, wish: Wish) -> None:
    """Renew all certificates of this control plane, and start anew who reads them once. Cut off, it goes on."""
    if not _kubeadm.RENEWED.exists():
        kubeadm("certs", "renew", "all")
        _durable.write(_kubeadm.RENEWED, "the static pods have to begin anew\n")
    for pod in _kube_static.PODS:
        pods.bounce(pod, wish.timeout)
    _kubeadm.RENEWED.unlink()


@dataclass
class Outcome:
    """What a run has done, or would do: steps in words, and triples of (path, before, after) for the difference;
    `halted`: why nothing else may be changed now."""

    steps: list[str]
    diff: list[tuple[str, str, str]]
    halted: str = ""


def shown(outcome: Outcome) -> list[dict[str, str]]:
    """The difference as Ansible shows it."""
    return [
        {"before_header": path, "after_header": path, "before": before, "after": after}
        for path, before, after in outcome.diff
    ]


def keep(
    wish: Wish,
    kubeadm: _kubeadm.Kubeadm,
    adapter: _guard.Adapter,
    lock: Lock,
    *,
    check: bool,
) -> Outcome:
    """Bring a control plane's certificates, static pods, and what kubeadm keeps in the cluster, to the configuration.

    One control plane at a time: the lock is the cluster's, and etcd is asked whether it can spare a member. In the
    middle of an upgrade an older kubeadm must not undo what is done, so it changes nothing then. Raises Failed.
    """
    client = api()
    pods = _kube_static.Pods(client, wish.name)
    outcome = Outcome([], [])
    aged = old(kubeadm("certs", "check-expiration", "-o", "json").out, wish.renew_before)
    # Before anything is compared: a renewal that was cut off may have a manifest taken away.
    if aged or _kubeadm.RENEWED.exists():
        outcome.steps.append(f"renew {', '.join(aged) or 'what was begun'}")
        if not check:
            stop = _guard.Stop(wish.name, timeout=wish.timeout)
            _guard.stop(adapter, lock, stop, lambda: renew(kubeadm, pods, wish))
    runs = _kube_static.tag(_kube_static.present()["kube-apiserver"])
    if {runs, _kubeadm.cluster_version(client)} - {"", kubeadm.version}:
        outcome.halted = (
            f"an upgrade was cut off: the API server here has {runs}, kubeadm {kubeadm.version}. Nothing of the "
            "control plane is changed until make upgrade SERVICE=kubernetes has ended"
        )
        return outcome
    replace(wish, kubeadm, adapter, lock, outcome, check=check)
    declared = kubeadm.declared()
    stored = _kubeadm.uploaded(client)
    if stored.strip() != declared.strip():
        outcome.steps.append("upload the configuration")
        outcome.diff.append(("ConfigMap kube-system/kubeadm-config", stored, declared))
        if not check:
            kubeadm("init", "phase", "upload-config", "kubeadm")
    return outcome


def replace(
    wish: Wish, kubeadm: _kubeadm.Kubeadm, adapter: _guard.Adapter, lock: Lock, outcome: Outcome, *, check: bool
) -> None:
    """Bring a control plane's static pods to what kubeadm would write today, under guard. Raises Failed."""
    pods = _kube_static.Pods(api(), wish.name)
    before = _kube_static.present()
    changed = _kube_static.changes(before, _kube_static.wanted(kubeadm))
    if "etcd" in changed and before["etcd"]:
        refusal = _kube_version.etcd_refusal(_kube_static.tag(before["etcd"]), _kube_static.tag(changed["etcd"]))
        if refusal:
            raise Failed(refusal)
    outcome.steps += [f"replace {pod}" for pod in changed]
    outcome.diff += [(f"{_kubeadm.MANIFESTS}/{pod}.yaml", before[pod], text) for pod, text in changed.items()]
    if changed and not check:

        def act() -> None:
            for pod, manifest in changed.items():
                pods.replace(pod, manifest, wish.timeout)

        _guard.stop(adapter, lock, _guard.Stop(wish.name, leader="etcd" in changed, timeout=wish.timeout), act)
