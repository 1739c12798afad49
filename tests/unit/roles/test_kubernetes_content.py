# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role sends to the API: with its defaults, and with all that a site can declare. tests/integration/kubernetes
asks a real API server about the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_nodes, _kube_set
from tests.kubernetes_content import EVERYTHING, HOSTS, IMAGES, rendered

Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return rendered(tmp_path_factory.mktemp("everything"), EVERYTHING)


@pytest.fixture(scope="module")
def defaults(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    found = rendered(tmp_path_factory.mktemp("defaults"), {})
    return {str(_kube_set.key(one)): one for one in _kube_set.parse(found["objects"])}


def test_all_is_well_formed(everything: dict[str, Any]) -> None:
    assert len(_kube_set.parse(everything["objects"])) == len(everything["objects"])
    assert set(_kube_nodes.parse(everything["nodes"])) == set(HOSTS)


def test_programs_have_the_site_s_images_and_never_ask_a_registry_twice(defaults: Objects) -> None:
    found = {}
    for one in defaults.values():
        for container in (one.get("spec") or {}).get("template", {}).get("spec", {}).get("containers", []):
            found[container["name"]] = container["image"]
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert container["resources"]["requests"]
    # Never newer than an API server, so the cluster says of which version it is.
    assert found == {**IMAGES, "kube-proxy": f"{IMAGES['kube-proxy'].rpartition(':')[0]}:$(KUBERNETES_VERSION)"}


def test_a_change_of_a_configuration_rolls(everything: dict[str, Any], defaults: Objects) -> None:
    def mark(one: dict[str, Any]) -> str:
        return str(one["spec"]["template"]["metadata"]["annotations"]["platform.holdfast/config"])

    others = {str(_kube_set.key(one)): one for one in everything["objects"]}
    for key in ("DaemonSet.apps kube-system/kube-proxy", "Deployment.apps kube-system/coredns"):
        assert mark(others[key]) != mark(defaults[key])
    flannel = "DaemonSet.apps kube-system/flannel"
    assert mark(others[flannel]) == mark(defaults[flannel])


def test_what_programs_read_is_what_is_declared(everything: dict[str, Any]) -> None:
    data = {one["metadata"]["name"]: one["data"] for one in everything["objects"] if one["kind"] == "ConfigMap"}
    proxy = yaml.safe_load(data["kube-proxy"]["config.conf"])
    assert proxy["mode"] == "nftables"
    assert proxy["conntrack"] == {"maxPerCore": 0, "min": 0}
    config = yaml.safe_load(data["kube-proxy"]["kubeconfig.conf"])
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:7443"
    network = json.loads(data["flannel"]["net-conf.json"])
    assert network["Backend"] == {"Type": "vxlan", "Port": 8472}
    assert "forward . 10.0.1.53 10.0.2.53 {\n" in data["coredns"]["Corefile"]


def test_what_a_site_leaves_out_is_not_there(tmp_path: Any) -> None:
    found = rendered(tmp_path, {"kubernetes_content_cni": "none", "kubernetes_content_metrics_replicas": 0})
    names = {one["metadata"]["name"] for one in found["objects"]}
    assert not names & {"flannel", "metrics-server", "v1beta1.metrics.k8s.io"}
