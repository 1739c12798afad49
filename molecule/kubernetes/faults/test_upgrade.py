# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster goes to the next minor version while it is written to, is cut off, held up, and goes on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from molecule.kubernetes.conftest import CONTROL, NODES, WORKERS, Cluster
from tests.chaos.ledger import Ledger, writing
from tests.chaos.services.kubernetes import Kubernetes
from tests.integration.conftest import ROOT, RunningLab
from tests.runs import good, unchanged
from tests.waiting import eventually

SITE, UPGRADE = ROOT / "playbooks/site.yml", ROOT / "playbooks/upgrade.yml"
PARTS = ("--tags", "kubernetes_node,kubernetes,kubernetes_worker,kubernetes_content")
LOCK = ROOT / "artifacts.lock.yml"
BEFORE = "1.35.4"
AFTER = re.findall(r"(?m)^  kubernetes:\n    version: (\S+)$", LOCK.read_text())[0]

SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: upgraded}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
           labelSelector: {matchLabels: {app: shop}}}
      containers:
        - {name: shop, image: "IMAGE", imagePullPolicy: IfNotPresent}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keep, namespace: upgraded}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: shop}}}
"""


def versions(cluster: Cluster) -> dict[str, str]:
    """The version of each node's kubelet."""
    listed = cluster.live("nodes")["items"]
    return {one["metadata"]["name"]: one["status"]["nodeInfo"]["kubeletVersion"] for one in listed}


def servers(lab: RunningLab) -> set[str]:
    """The versions of all API servers."""
    image = "grep -o 'kube-apiserver:v.*' /etc/kubernetes/manifests/kube-apiserver.yaml"
    return {lab.run(host, image).strip().partition(":")[2] for host in CONTROL}


def unlocked(lab: RunningLab, *options: str) -> subprocess.CompletedProcess[str]:
    """An upgrade that nobody else's work stopped."""
    done = lab.play(UPGRADE, "--tags", "kubernetes", *options)
    assert "another controller is at work" not in done.stdout
    return done


@pytest.fixture(scope="module")
def older(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A cluster of the version before, on empty hosts; the options with which a site stays there."""
    lock = tmp_path_factory.mktemp("lock") / "artifacts.lock.yml"
    text, minor = LOCK.read_text(), re.sub(r"^1\.", "0.", BEFORE)
    text = text.replace(f"\n    version: {AFTER}\n", f"\n    version: {BEFORE}\n")
    lock.write_text(re.sub(r"&staging v\S+", f"&staging v{minor}", text))
    # kubeadm of that version asks for another pause image, which nothing here runs.
    ignored = ["SystemVerification", "ImagePull"]
    more = {"mirror_lock": str(lock), "kubernetes_ignored_checks": ignored}
    options = ["-e", json.dumps({**more, "kubernetes_worker_ignored_checks": ignored})]
    good(cluster.lab.make("mirror", "NAMES=kubernetes", f"ARGS=-e mirror_lock={lock}"))
    for host in NODES:
        cluster.lab.lab.renew(host)
    good(cluster.lab.play(SITE, *options))
    assert set(versions(cluster).values()) == {f"v{BEFORE}"}
    yield options


@pytest.mark.full
def test_a_newer_lock_file_alone_changes_no_version(cluster: Cluster, older: list[str]) -> None:
    lab = cluster.lab
    shown = good(lab.play(SITE, *PARTS))
    assert f"keeps it; the lock file says {AFTER}" in shown
    unchanged(lab.play(SITE, *PARTS))
    assert (set(versions(cluster).values()), servers(lab)) == ({f"v{BEFORE}"}, {f"v{BEFORE}"})
    proxy = cluster.live("-n kube-system daemonset kube-proxy")["spec"]["template"]["spec"]["containers"][0]
    assert proxy["image"].endswith(f":v{BEFORE}")
    # A host that joins now would be newer than the cluster.
    lab.lab.renew(WORKERS[1])
    refused = lab.play(SITE)
    assert refused.returncode == 2
    assert f"this host has kubeadm and kubelet v{AFTER}, and the cluster has v{BEFORE}" in refused.stdout
    good(lab.play(SITE, *older))


@pytest.mark.full
def test_it_is_cut_off_held_up_and_goes_on_and_no_write_is_lost(
    cluster: Cluster, older: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lab, service = cluster.lab, Kubernetes(cluster.lab)
    host = service.clients[0]
    image = lab.evaluated("lookup('holdfast.platform.image', 'pause')")
    cluster.kubectl("delete namespace upgraded --ignore-not-found --wait")
    cluster.kubectl("create namespace upgraded")
    cluster.kubectl("apply -f -", SHOP.replace("IMAGE", str(image)))
    cluster.kubectl("-n upgraded rollout status deployment shop --timeout=120s")
    run = "upgrade"
    with writing(Ledger(lab, host, service.rate), service.client, service.prepare(host, run), "upgrade") as entries:
        shown = good(lab.play(UPGRADE, "--tags", "kubernetes", "--check"))
        assert "would upgrade" in shown
        assert servers(lab) == {f"v{BEFORE}"}
        lab.killed(UPGRADE, "--tags", "kubernetes", when="Upgrade the API servers", after=30)
        # In the middle nothing is undone by a run of the site.
        begun = servers(lab)
        halted = lab.play(SITE, *PARTS)
        good(halted)
        assert servers(lab) == begun
        if begun != {f"v{BEFORE}"}:
            assert "an upgrade was cut off" in halted.stderr
        # What the killed controller had begun on the hosts goes on there, and holds the lock.
        held = eventually(lambda: unlocked(lab, "-e", "kubernetes_node_drain_timeout=20"), 600, "nobody is at work")
        assert held.returncode == 2, held.stdout
        assert "is held by PodDisruptionBudget keep: 2 pods are healthy, 2 have to be" in held.stdout
        found = versions(cluster)
        assert {found[name] for name in CONTROL} == {f"v{AFTER}"}
        cluster.kubectl("-n upgraded delete poddisruptionbudget keep")
        good(lab.play(UPGRADE, "--tags", "kubernetes"))
    assert set(versions(cluster).values()) == {f"v{AFTER}"}
    assert servers(lab) == {f"v{AFTER}"}
    assert not [one["metadata"]["name"] for one in cluster.live("nodes")["items"] if one["spec"].get("unschedulable")]
    cluster.kubectl("-n kube-system rollout status daemonset kube-proxy --timeout=180s")
    written = {entry.number for entry in entries if entry.outcome == "acknowledged"}
    times = sorted(entry.ended for entry in entries if entry.outcome == "acknowledged")
    gap = max(later - earlier for earlier, later in pairwise(times))
    with capsys.disabled():
        print(f"\n{len(written)} writes acknowledged, longest gap {gap:.1f} s")
    assert all(written <= set(numbers) for numbers in service.present(run).values())
    again = good(lab.play(UPGRADE, "--tags", "kubernetes"))
    assert "'control_planes': 0, 'nodes': 0" in again.replace('"', "'")
    unchanged(lab.play(SITE, *PARTS))
    good(lab.play(ROOT / "playbooks/verify.yml"))


@pytest.mark.full
def test_a_zone_is_emptied_for_work_and_filled_again(cluster: Cluster) -> None:
    lab = cluster.lab
    shown = good(lab.make("drain", "ZONE=b"))
    assert "kube-system/" in shown or "upgraded/" in shown
    there = cluster.live("pods --all-namespaces --field-selector spec.nodeName=application-b1")["items"]
    assert {owner["kind"] for one in there for owner in one["metadata"]["ownerReferences"]} == {"DaemonSet"}
    nodes = {one["metadata"]["name"]: one["spec"].get("unschedulable", False) for one in cluster.live("nodes")["items"]}
    assert {name for name, cordoned in nodes.items() if cordoned} == {"control-b1", "application-b1"}
    good(lab.make("undrain", "ZONE=b"))
    nodes = {one["metadata"]["name"]: one["spec"].get("unschedulable", False) for one in cluster.live("nodes")["items"]}
    assert not any(nodes.values())
    assert lab.make("drain", "ZONE=x").returncode != 0


@pytest.mark.full
@pytest.mark.parametrize("leaves", [WORKERS[1], CONTROL[2]])
def test_a_node_is_removed_and_comes_back(cluster: Cluster, leaves: str) -> None:
    lab = cluster.lab
    good(lab.make("remove", "SERVICE=kubernetes", f"HOST={leaves}"))
    assert leaves not in versions(cluster)
    assert not lab.run(leaves, "ls /etc/kubernetes/manifests/* /etc/kubernetes/*.conf 2>/dev/null", check=False).strip()
    good(lab.play(SITE))
    eventually(lambda: leaves in versions(cluster), 60, "the node is back")
    unchanged(lab.play(SITE, *PARTS))
    good(lab.play(ROOT / "playbooks/verify.yml"))


def test_what_is_no_node_is_not_removed(cluster: Cluster) -> None:
    done = cluster.lab.make("remove", "SERVICE=kubernetes", "HOST=nobody")
    assert done.returncode != 0
    assert 'kubernetes_remove_node is "nobody", which is not a node' in done.stdout.replace('\\"', '"')
