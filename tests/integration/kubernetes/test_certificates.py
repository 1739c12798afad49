# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for serving certificates on a real API server: by our client, by the program, and by the module."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_approve, _kube_serving
from tests.integration.conftest import PROGRAMS, ROOT
from tests.integration.kubernetes.conftest import Cluster
from tests.unit.plugins.module_utils.test_kube_approve import NODES, at, dns, pem


def ask_for(cluster: Cluster, name: str, request: str, *, user: str = "system:node:n1") -> None:
    """What a kubelet does when it starts."""
    spec = {
        "signerName": _kube_approve.SIGNER,
        "usages": ["digital signature", "server auth"],
        "request": request,
    }
    metadata = {"name": name}
    one = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
        "spec": spec,
    }
    me = [f"--as={user}", "--as-group=system:nodes", "--as-group=system:masters"]
    cluster.kubectl("create", "-f", "-", *me, stdin=json.dumps(one))


def conditions(cluster: Cluster, name: str) -> list[str]:
    live: Any = cluster.live("csr", name)
    return [one["type"] for one in live["status"].get("conditions", [])]


@pytest.fixture(params=["client", "program"])
def ask(request: pytest.FixtureRequest, cluster: Cluster, client: _kube.Client) -> _kube_approve.Ask:
    """Both ways to the API."""
    if request.param == "client":
        return _kube_serving.by_client(client)
    return _kube_approve.kubectl(str(cluster.kubeconfig))


def test_what_fits_is_approved_and_nothing_else(
    cluster: Cluster, ask: _kube_approve.Ask, request: pytest.FixtureRequest
) -> None:
    name = str(request.node.callspec.id)
    ask_for(cluster, f"good-{name}", pem())
    ask_for(cluster, f"foreign-{name}", pem(names=[*dns("n1"), *at("10.0.9.9")]))
    assert _kube_approve.approve(ask, NODES, check=True)[0] == ["n1"]
    assert conditions(cluster, f"good-{name}") == []
    approved, left = _kube_approve.approve(ask, NODES)
    assert approved == ["n1"]
    assert "10.0.9.9, which nobody declared of n1" in left[f"foreign-{name}"]
    assert conditions(cluster, f"good-{name}") == ["Approved"]
    assert conditions(cluster, f"foreign-{name}") == []
    assert _kube_approve.approve(ask, NODES)[0] == []


def test_what_was_judged_is_what_is_approved(
    cluster: Cluster, ask: _kube_approve.Ask, request: pytest.FixtureRequest
) -> None:
    """A request that was made anew in between, under the same name, is another one."""
    name = f"swapped-{request.node.callspec.id}"
    ask_for(cluster, name, pem())
    (judged,) = [one for one in _kube_approve.open_ones(ask) if one["metadata"]["name"] == name]
    cluster.kubectl("delete", "csr", name)
    ask_for(cluster, name, pem(names=dns("kubernetes")))
    assert ask("PUT", f"{_kube_approve.PATH}/{name}/approval", _kube_approve.approval(judged)) is None
    assert conditions(cluster, name) == []


def test_the_module(cluster: Cluster, tmp_path: Path) -> None:
    """Nodes that are there and not there, a request that is good, and no change the second time."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(node))
    ask_for(cluster, "module", pem())

    def play(*options: str) -> str:
        task = {
            "nodes": {"n2": {"labels": {"zone": "a"}}, "n9": {}},
            "identities": NODES,
            "kubeconfig": str(cluster.kubeconfig),
        }
        tasks = [
            {"name": "Reconcile", "holdfast.platform.kubernetes_nodes": task, "register": "done"},
            {"name": "Tell", "ansible.builtin.debug": {"msg": "absent={{ done.absent }} approved={{ done.approved }}"}},
        ]
        book = tmp_path / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        environment = {
            **os.environ,
            "PATH": f"{cluster.programs}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        }
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}))
        argv = [PROGRAMS / "ansible-playbook", "-i", inventory, book, *options]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    for said in (play("--check"), play()):
        assert "changed=1" in said
        assert "absent=['n9'] approved=['n1']" in said
    assert conditions(cluster, "module") == ["Approved"]
    again = play()
    assert "changed=0" in again
    assert "approved=[]" in again
