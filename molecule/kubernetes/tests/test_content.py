# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster holds is what is declared: put back when somebody changed it, and nothing of others is touched."""

from __future__ import annotations

import json

import pytest

from molecule.kubernetes.conftest import CONTROL, NODES, WORKERS, Cluster
from tests.runs import good, unchanged
from tests.waiting import eventually


def test_what_somebody_changed_is_put_back(cluster: Cluster) -> None:
    cluster.kubectl(f"label node {WORKERS[0]} platform.holdfast/pool=other example.org/theirs=1 --overwrite")
    cluster.kubectl("-n kube-system delete pdb coredns")
    cluster.kubectl("-n kube-system scale deployment coredns --replicas=1")
    refused = cluster.play("verify")
    assert refused.returncode != 0
    said = good(cluster.play("site"))
    assert " changed " in said.partition("service ")[0]
    labels = cluster.live(f"node {WORKERS[0]}")["metadata"]["labels"]
    assert (labels["platform.holdfast/pool"], labels["example.org/theirs"]) == ("application", "1")
    cluster.kubectl("-n kube-system get pdb coredns")
    assert cluster.live("-n kube-system deployment coredns")["status"]["readyReplicas"] == 2
    unchanged(cluster.play("site"))
    cluster.kubectl(f"label node {WORKERS[0]} example.org/theirs-")


def test_name_servers_are_in_two_zones(cluster: Cluster) -> None:
    pods = cluster.live("-n kube-system pods -l k8s-app=kube-dns")["items"]
    nodes = [pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    zones = {cluster.live(f"node {node}")["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert len(zones) == 2


def test_verify_says_that_policies_have_no_effect(cluster: Cluster) -> None:
    assert "flannel does not enforce network policies" in good(cluster.play("verify"))


# A node's credentials, and a name that is not the node's.
FOREIGN = """
cd /tmp && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null \
  -subj /O=system:nodes/CN=system:node:application-a1 -addext subjectAltName=DNS:kubernetes.default 2>/dev/null \
  | base64 -w0
"""


def test_a_certificate_for_a_name_of_others_is_not_given(cluster: Cluster) -> None:
    spec = {
        "signerName": "kubernetes.io/kubelet-serving",
        "usages": ["digital signature", "server auth"],
        "request": cluster.lab.run(CONTROL[0], FOREIGN).strip(),
    }
    metadata = {"name": "foreign"}
    asked = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
        "spec": spec,
    }
    cluster.kubectl("create -f - --as=system:node:application-a1 --as-group=system:nodes", json.dumps(asked))
    try:
        done = cluster.play("site")
        said = good(done) + done.stderr
        assert "names kubernetes.default, which nobody declared of application-a1" in " ".join(said.split())
        assert cluster.live("csr foreign")["status"] == {}
        assert "kubernetes.default, which nobody" in " ".join(cluster.play("verify").stdout.split())
    finally:
        cluster.kubectl("delete csr foreign")


def test_a_certificate_for_the_node_is_given_by_the_timer_s_program(cluster: Cluster) -> None:
    """A kubelet without its certificate asks for a new one, and nobody has to run Ansible."""
    node = WORKERS[1]
    cluster.lab.run(node, "rm -f /var/lib/kubelet/pki/kubelet-server-* && systemctl restart kubelet")

    def served() -> bool:
        cluster.lab.run(CONTROL[1], "systemctl start holdfast-kubernetes-approve.service")
        return "kubelet" in cluster.kubectl(
            f"get --raw /api/v1/nodes/{node}/proxy/metrics | head -c 100000", check=False
        )

    eventually(served, 300, "a certificate for the kubelet", pause=3)


@pytest.mark.full
def test_a_volume_keeps_what_a_pod_wrote(cluster: Cluster) -> None:
    """A directory of a node, claimed by an etcd; the next pod finds what the last one wrote."""
    node = CONTROL[2]
    cluster.lab.run(node, "mkdir -p /srv/volumes/1")
    volume = {"node": node, "path": "/srv/volumes/1", "size": "1Gi", "class": "fast-ssd"}
    declared = json.dumps({"kubernetes_content_local_volumes": [volume]})
    image = cluster.live(f"-n kube-system pod etcd-{node}")["spec"]["containers"][0]["image"]
    command = [
        "etcd",
        "--data-dir=/data/etcd",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
    ]
    metadata = {"name": "volume", "namespace": "default"}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast-ssd",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    container = {
        "name": "etcd",
        "image": image,
        "command": command,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "volume"}}],
        },
    }

    def etcdctl(words: str) -> str:
        address = cluster.live("pod volume")["status"]["podIP"]
        return cluster.lab.run(CONTROL[0], f"etcdctl --endpoints=http://{address}:2379 {words}")

    try:
        good(cluster.play("site", "-e", declared))
        for number in range(2):
            both = {"apiVersion": "v1", "kind": "List", "items": [claim, pod]}
            cluster.kubectl("apply -f -", json.dumps(both))
            cluster.kubectl("wait pod volume --for=condition=Ready --timeout=120s")
            assert cluster.live("pod volume")["spec"]["nodeName"] == node
            eventually(lambda: etcdctl("endpoint health") or "healthy", 60, "etcd of the pod")
            if number:
                assert etcdctl("get kept --print-value-only").strip() == "yes"
            else:
                etcdctl("put kept yes")
            cluster.kubectl("delete pod volume --wait")
    finally:
        cluster.kubectl("delete pod,pvc volume --ignore-not-found --wait")
        good(cluster.play("site"))
    assert cluster.kubectl(f"get pv {node}-srv-volumes-1", check=False) == ""
    cluster.lab.run(node, "rm -rf /srv/volumes")


def test_all_nodes_are_declared(cluster: Cluster) -> None:
    nodes = cluster.live("nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(NODES)
    assert {node["metadata"]["labels"]["topology.kubernetes.io/region"] for node in nodes} == {"kubernetes"}
