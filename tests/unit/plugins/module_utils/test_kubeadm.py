# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what lies on a host, and what kubeadm is told."""

from __future__ import annotations

import base64
import json
import re

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_member, _kube_static, _kubeadm
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed


@pytest.mark.parametrize(
    ("host", "live", "standing"),
    [
        (_kubeadm.Host(joined=True), True, "member"),
        (_kubeadm.Host(joined=True), False, "member"),
        (_kubeadm.Host(joined=False), True, "joinable"),
        (_kubeadm.Host(joined=False), False, "unformed"),
        (_kubeadm.Host(joined=True, begun="join"), True, "joinable"),
        (_kubeadm.Host(joined=True, begun="init"), True, "founding"),
        (_kubeadm.Host(joined=False, begun="init"), False, "founding"),
    ],
)
def test_standing(host: _kubeadm.Host, live: bool, standing: str) -> None:
    assert _kubeadm.standing(host, live=live) == standing


def test_the_configuration_is_for_the_version_that_is_installed() -> None:
    config = "kind: InitConfiguration\n---\nkubernetesVersion: v1.37.0\nkind: ClusterConfiguration\n"
    assert "kubernetesVersion: v1.36.3\n" in _kubeadm.pinned(config, "v1.36.3")


def test_an_image_of_etcd_that_runs_stays() -> None:
    config = "etcd:\n  local:\n    imageTag: 3.6.8-0\nkubernetesVersion: v1.37.0\n"
    assert "    imageTag: 3.6.6-0\n" in _kubeadm.pinned(config, "v1.36.3", "3.6.6-0")
    assert "    imageTag: 3.6.8-0\n" in _kubeadm.pinned(config, "v1.36.3")


def test_an_image_has_a_tag() -> None:
    assert _kube_static.tag("    image: registry.example.org:5000/etcd:3.6.8-0\n    name: etcd\n") == "3.6.8-0"
    assert _kube_static.tag("") == ""


def test_who_joins_has_the_version_of_the_cluster() -> None:
    _kube_member.insist("v1.36.3", "v1.36.3")
    _kube_member.insist("v1.36.3", "")
    with pytest.raises(Failed, match=r"kubelet v1\.36\.3, and the cluster has v1\.35\.4\. Upgrade the cluster first"):
        _kube_member.insist("v1.36.3", "v1.35.4")


def test_tokens_have_the_form_that_the_api_asks_for_and_differ() -> None:
    tokens = {".".join(_kubeadm.bootstrap_token()) for _ in range(20)}
    assert len(tokens) == 20
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token) for token in tokens)


def test_a_token_lets_join_and_nothing_else() -> None:
    secret = _kubeadm.token_secret("abcdef", "0123456789abcdef", "2026-11-22T04:00:00Z")
    assert secret["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    data = secret["stringData"]
    assert isinstance(data, dict)
    assert data["usage-bootstrap-authentication"] == "true"
    assert data["usage-bootstrap-signing"] == "false"
    assert data["expiration"] == "2026-11-22T04:00:00Z"


def test_discovery_carries_the_authority_and_the_token() -> None:
    told = json.loads(_kubeadm.discovery("abcdef.0123456789abcdef", "https://127.0.0.1:7443", b"CA"))
    assert told["users"][0]["user"] == {"token": "abcdef.0123456789abcdef"}
    assert base64.b64decode(told["clusters"][0]["cluster"]["certificate-authority-data"]) == b"CA"


MANIFEST = """spec:
  containers:
  - command:
    - etcd
    - --heartbeat-interval=100
{first}    - --name=a
"""
FOUNDED = MANIFEST.format(first="    - --initial-cluster=a=https://10.0.0.1:2380\n")
JOINED = MANIFEST.format(
    first="    - --initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\n"
    "    - --initial-cluster-state=existing\n"
)


def pods(etcd: str, api: str = "api") -> dict[str, str]:
    return {"etcd": etcd, "kube-apiserver": api, "kube-controller-manager": "m", "kube-scheduler": "s"}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (pods(FOUNDED), pods(FOUNDED), {}),
        (pods(JOINED), pods(FOUNDED), {}),  # how it first started is no difference
        (pods(FOUNDED), pods(FOUNDED, "new"), {"kube-apiserver": "new"}),
        (pods(JOINED), pods(FOUNDED.replace("=100", "=250")), {"etcd": JOINED.replace("=100", "=250")}),
        (pods(""), pods(FOUNDED), {"etcd": FOUNDED}),
    ],
)
def test_changes(before: dict[str, str], after: dict[str, str], found: dict[str, str]) -> None:
    assert _kube_static.changes(before, after) == found


def pod(ready: str, said: str = "", sum_: str = "1") -> dict[str, object]:
    return {
        "metadata": {"annotations": {"kubernetes.io/config.hash": sum_}},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": said}]},
    }


@pytest.mark.parametrize(
    ("found", "unlike", "reason"),
    [
        (None, "", "the kubelet has not started it"),
        (pod("True"), "1", "the kubelet has not seen its manifest yet"),
        (pod("True"), "0", ""),
        (pod("False", "containers with unready status"), "0", "containers with unready status"),
        (pod("False"), "", "it has not said why"),
    ],
)
def test_trouble(found: dict[str, object] | None, unlike: str, reason: str) -> None:
    assert _kube_static.trouble(found, unlike) == reason


def test_documents_by_kind() -> None:
    text = "kind: InitConfiguration\na: 1\n---\nb: 2\nkind: ClusterConfiguration\n"
    assert _kubeadm.documents(text) == {
        "InitConfiguration": "kind: InitConfiguration\na: 1",
        "ClusterConfiguration": "b: 2\nkind: ClusterConfiguration",
    }


def test_a_configuration_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "a: 1\nkind: InitConfiguration\n"
    monkeypatch.setattr(_kubeadm, "run", lambda argv, **_: Done(0, "v1.36.3\n" if "version" in argv else said, ""))
    with pytest.raises(Failed, match="no document of kind ClusterConfiguration"):
        _kubeadm.Kubeadm(said).declared()


def started(moment: str) -> dict[str, object]:
    return {"status": {"containerStatuses": [{"state": {"running": {"startedAt": moment}}}]}}


@pytest.mark.parametrize(
    ("found", "again"),
    [
        (started("2026-11-22T04:00:00Z"), True),  # within the second that is told
        (started("2026-11-22T04:00:09Z"), True),
        (started("2026-11-22T03:59:58Z"), False),
        ({"status": {"containerStatuses": [{"state": {"waiting": {}}}]}}, False),
        (None, False),
    ],
)
def test_who_has_begun_anew(found: dict[str, object] | None, again: bool) -> None:
    ended = 1795320000.5  # 2026-11-22T04:00:00.5Z
    assert (_kube_static.older(found, ended) == "") == again


def test_certificates_that_are_old() -> None:
    certificates = [
        {"name": "apiserver", "missing": False, "externallyManaged": False, "residualTime": 99},
        {"name": "etcd-peer", "missing": False, "externallyManaged": False, "residualTime": 100},
        {"name": "super-admin.conf", "missing": True, "externallyManaged": False, "residualTime": 0},
        {"name": "front-proxy-client", "missing": False, "externallyManaged": True, "residualTime": 0},
    ]
    assert _kube_member.old(json.dumps({"certificates": certificates}), 100) == ["apiserver"]
