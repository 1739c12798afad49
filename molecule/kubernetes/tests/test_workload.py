# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload needs of the cluster: pods reach each other across zones, by service and by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from molecule.kubernetes.conftest import NODES, Cluster
from tests.waiting import eventually

NAMESPACE = "traffic"
# CoreDNS answers HTTP as well: a web server on every node, of an image that every node has.
LABELS = {"app": "web"}


def manifests(image: str) -> list[dict[str, Any]]:
    """A pod on each node, and a service for them."""
    metadata = {"name": "web", "namespace": NAMESPACE}
    container = {
        "name": "web",
        "image": image,
        "args": ["-conf", "/etc/web/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}},
        "resources": {"requests": {"cpu": "5m", "memory": "20Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "web"}}],
    }
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    daemons = {"selector": {"matchLabels": LABELS}, "template": template}
    service = {"type": "NodePort", "selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"Corefile": ".:1053 {\n    whoami\n    health :8080\n}\n"},
        },
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": daemons},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The web server of each node, by the node's name."""
    deployment = cluster.live("-n kube-system deployment coredns")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    listed = {"apiVersion": "v1", "kind": "List", "items": manifests(image)}
    cluster.kubectl("apply -f -", json.dumps(listed))
    try:
        cluster.kubectl(f"-n {NAMESPACE} rollout status daemonset/web --timeout=180s")
        found = cluster.live(f"-n {NAMESPACE} pods")["items"]
        yield {pod["spec"]["nodeName"]: pod for pod in found}
    finally:
        cluster.kubectl(f"delete namespace {NAMESPACE} --wait=false")


# Asks URLs, names resolved by the cluster's name server; prints what each answered, or why it did not.
ASK = """
import json, socket, struct, sys, urllib.request
server, urls = json.load(sys.stdin)
def resolve(host):
    labels = b"".join(bytes([len(one)]) + one.encode() for one in host.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        question = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + labels + bytes(1) + struct.pack(">2H", 1, 1)
        asking.sendto(question, (server, 53))
        return socket.inet_ntoa(asking.recv(4096)[-4:])
def ask(url):
    host, _, rest = url.partition("://")[2].partition("/")
    name, _, port = host.partition(":")
    if name.endswith(".local"):
        name = resolve(name)
    try:
        return urllib.request.urlopen("http://%s:%s/%s" % (name, port or 80, rest), timeout=5).read().decode()
    except OSError as error:
        return "%s: %s" % (url, error)
print(json.dumps([ask(url) for url in urls]))
"""


def test_every_pod_reaches_every_other_one_by_address_by_service_and_by_name(
    cluster: Cluster, pods: dict[str, Any]
) -> None:
    assert set(pods) == set(NODES)
    service = cluster.live(f"-n {NAMESPACE} service web")["spec"]["clusterIP"]
    server = cluster.live("-n kube-system service kube-dns")["spec"]["clusterIP"]
    urls = [f"http://{pod['status']['podIP']}:8080/health" for pod in pods.values()]
    urls += [f"http://{service}/health"] * 5 + [f"http://web.{NAMESPACE}.svc.cluster.local/health"]
    for node, pod in pods.items():
        said = cluster.in_pod(node, pod["metadata"]["uid"], ASK.replace("'", '"'), [server, urls])
        assert said == ["OK"] * len(urls), node


def test_a_service_answers_at_a_port_of_every_node(cluster: Cluster, pods: dict[str, Any]) -> None:
    port = cluster.live(f"-n {NAMESPACE} service web")["spec"]["ports"][0]["nodePort"]
    for node in NODES:
        asking = NODES[NODES.index(node) - 1]
        url = f"http://{cluster.lab.address(node)}:{port}/health"
        ask = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=10).read().decode())"
        answer = cluster.lab.run(asking, f'python3 -c "{ask}"').strip()
        assert answer == "OK", node


def test_pods_are_in_the_network_of_their_node(cluster: Cluster, pods: dict[str, Any]) -> None:
    networks = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in cluster.live("nodes")["items"]}
    assert len(set(networks.values())) == len(NODES)
    for node, pod in pods.items():
        assert pod["status"]["podIP"].rpartition(".")[0] == networks[node].rpartition(".")[0]


def test_logs_and_programs_of_pods_are_within_reach(cluster: Cluster, pods: dict[str, Any]) -> None:
    """The API server believes the kubelets' certificates."""
    for node, pod in pods.items():
        said = cluster.kubectl(f"-n {NAMESPACE} logs {pod['metadata']['name']}")
        assert "CoreDNS" in said, node


def test_every_node_and_pod_has_metrics(cluster: Cluster, pods: dict[str, Any]) -> None:
    def measured() -> bool:
        nodes = json.loads(cluster.kubectl("get --raw /apis/metrics.k8s.io/v1beta1/nodes"))["items"]
        found = json.loads(cluster.kubectl(f"get --raw /apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"))[
            "items"
        ]
        return {one["metadata"]["name"] for one in nodes} == set(NODES) and len(found) == len(pods)

    eventually(measured, 120, "metrics of all nodes and pods", pause=3)
