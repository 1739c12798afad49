# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of objects on a real API server: applied, left alone, repaired, pruned, refused."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_apply
from ansible_collections.holdfast.platform.plugins.module_utils._kube_apply import Apply, Outcome
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from tests.integration.conftest import PROGRAMS, ROOT
from tests.integration.kubernetes.conftest import Cluster

Object = dict[str, Any]
Run = Callable[..., Outcome]


def manifest(kind: str, name: str, namespace: str = "", version: str = "v1", **more: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def config(name: str, namespace: str, **data: str) -> Object:
    return manifest("ConfigMap", name, namespace, data=data)


def deployment(name: str, namespace: str) -> Object:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    return manifest("Deployment", name, namespace, "apps/v1", spec=spec)


def kind_of_its_own(group: str) -> list[Object]:
    """A definition, and an object of it."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    return [
        manifest("CustomResourceDefinition", f"widgets.{group}", version="apiextensions.k8s.io/v1", spec=spec),
        manifest("Widget", "w", "default", f"{group}/v1", spec={"size": 3}),
    ]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A set, and a namespace, for each test."""
    return str(request.node.name).removeprefix("test_").replace("_", "-")[:40].rstrip("-")


@pytest.fixture
def run(client: _kube.Client, name: str) -> Run:
    def run(*objects: Object, check: bool = False) -> Outcome:
        return Apply(client, name, "kube-system").run(objects, check=check)

    return run


def test_all_in_one_call_and_nothing_again(cluster: Cluster, run: Run, name: str) -> None:
    """A namespace and what lives in it, a kind and an object of it."""
    objects = [
        config("a", name, key="value"),
        manifest("Secret", "s", name, stringData={"password": "x"}),
        deployment("web", name),
        manifest("Namespace", name),
        *kind_of_its_own("widgets.test"),
    ]
    tried = run(*objects, check=True)
    assert cluster.kubectl("get", "namespace", name, check=False).returncode != 0
    first = run(*objects)
    assert sorted(tried.created) == sorted(first.created)
    assert len(first.created) == len(objects)
    assert cluster.live("widget", "w")["spec"] == {"size": 3}
    for check in (True, False):
        again = run(*objects, check=check)
        assert not again.changed, again


def test_what_somebody_changed_is_put_back(cluster: Cluster, run: Run, name: str) -> None:
    objects = [config("drifts", "default", key="value", other="o")]
    run(*objects)
    cluster.kubectl(
        "patch", "configmap", "drifts", "--type=merge", "-p", '{"data": {"key": "mine", "added": "theirs"}}'
    )
    told = run(*objects, check=True)
    assert told.configured == ["ConfigMap default/drifts"]
    (_, before, after) = told.diff[0]
    assert (before["data"]["key"], after["data"]["key"]) == ("mine", "value")
    assert run(*objects).configured == ["ConfigMap default/drifts"]
    # What others own stays; what was declared and is not any more goes.
    assert run(config("drifts", "default", key="value")).changed
    assert cluster.live("configmap", "drifts")["data"] == {"key": "value", "added": "theirs"}


def test_what_is_left_over_goes_and_nothing_else(cluster: Cluster, run: Run, name: str) -> None:
    cluster.kubectl("create", "configmap", "foreign")
    kept, gone = config("kept", "default"), manifest("Service", "gone", "default", spec={"ports": [{"port": 80}]})
    run(kept, gone, manifest("Namespace", name))
    assert run(kept, check=True).pruned == ["Service default/gone", f"Namespace {name}"]
    assert run(kept).pruned == ["Service default/gone", f"Namespace {name}"]
    assert cluster.kubectl("get", "service", "gone", check=False).returncode != 0
    cluster.kubectl("get", "configmap", "foreign", "kept")
    parent: Any = cluster.live("-n", "kube-system", "configmap", name)
    assert parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"


def test_a_run_that_was_cut_off_leaves_nothing_behind(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent knows of kinds before their objects are there."""
    apply = Apply._apply
    done: list[str] = []

    def cut_off(self: Apply, path: str, given: Object, **options: Any) -> Object:
        if not options:
            if done:
                raise KeyboardInterrupt
            done.append(path)
        return apply(self, path, given, **options)

    monkeypatch.setattr(Apply, "_apply", cut_off)
    monkeypatch.setattr(_kube_apply, "_AT_ONCE", 1)
    service = manifest("Service", "half", "default", spec={"ports": [{"port": 80}]})
    with pytest.raises(KeyboardInterrupt):
        run(service, config("other-half", "default"))
    assert len(done) == 1
    monkeypatch.setattr(Apply, "_apply", apply)
    cluster.kubectl("get", "service", "half")
    assert run(config("other-half", "default")).pruned == ["Service default/half"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (config("Not_A_Name", "default"), "Not_A_Name"),
        (manifest("ConfigMap", "x", "default", dta={"a": "b"}), "dta"),
        (manifest("Service", "x", "default", spec={"ports": [{"port": "eighty"}]}), "eighty|ports"),
        (config("x", "nowhere"), 'namespaces "nowhere" not found'),
        (config("x", ""), "metadata.namespace is missing"),
        (manifest("Namespace", "x", "default"), "metadata.namespace has to go"),
        (manifest("Gadget", "x", "default", "nobody.test/v1"), "serves no Gadget of nobody.test/v1"),
    ],
    ids=["name", "field", "type", "namespace", "no-namespace", "a-namespace", "kind"],
)
def test_one_that_is_refused_stops_all(
    cluster: Cluster, client: _kube.Client, wrong: Object, reason: str, request: pytest.FixtureRequest
) -> None:
    good = f"good-{request.node.callspec.id}"
    with pytest.raises(Failed, match=reason):
        Apply(client, good, "kube-system").run([config(good, "default"), wrong], check=False)
    assert cluster.kubectl("get", "configmap", good, check=False).returncode != 0
    assert cluster.kubectl("get", "-n", "kube-system", "configmap", good, check=False).returncode != 0


def test_an_object_of_another_set_is_refused(client: _kube.Client, run: Run) -> None:
    run(config("shared", "default", a="1"))
    with pytest.raises(Failed, match="ConfigMap default/shared: belongs to another set"):
        Apply(client, "another", "kube-system").run([config("shared", "default", a="2")], check=False)


def test_a_server_that_goes_away_in_the_middle(cluster: Cluster, run: Run) -> None:
    objects = [config(f"many-{number}", "default", a="1") for number in range(100)]

    def crash() -> None:
        cluster.kill()
        time.sleep(1)
        cluster.start()

    crashing = threading.Timer(0.3, crash)
    crashing.start()
    try:
        run(*objects)
    finally:
        crashing.join()
    assert not run(*objects).changed


def test_readiness(cluster: Cluster, client: _kube.Client, run: Run, name: str) -> None:
    """There is no controller here, so nothing becomes ready by itself."""
    objects = [deployment("waits", "default"), config("nothing-to-wait-for", "default")]
    run(*objects)
    apply = Apply(client, name, "kube-system")
    (reason,) = apply.wait(objects, 0)
    assert reason == "Deployment.apps default/waits: its controller has not looked at it yet"
    ready = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    patch = json.dumps({"status": ready})
    cluster.kubectl("patch", "deployment", "waits", "--subresource=status", "--type=merge", "-p", patch)
    assert apply.wait(objects, 0) == []


def test_five_hundred_that_are_as_they_should_be(
    run: Run, client: _kube.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [config(f"big-{number}", "default", a="x" * 1000) for number in range(500)]
    run(*objects)
    requests: list[str] = []
    answer = _kube.Client._answer

    def counted(self: _kube.Client, method: str, *given: Any) -> bytes:
        requests.append(method)
        return answer(self, method, *given)

    monkeypatch.setattr(_kube.Client, "_answer", counted)
    begun = time.monotonic()
    assert not run(*objects).changed
    seconds = time.monotonic() - begun
    assert len(requests) <= len(objects) + 10
    with capsys.disabled():
        print(f"\n500 objects that nothing has to be done to: {seconds:.1f} s, {len(requests)} requests")


def test_the_module_tells_what_it_does_and_no_secret(cluster: Cluster, name: str, tmp_path: Path) -> None:
    objects = [
        manifest("Secret", "module", "default", stringData={"password": "the-first-value"}),
        config("module", "default", plain="to-be-seen"),
    ]

    def play(*options: str) -> str:
        task = {"name": name, "objects": objects, "kubeconfig": str(cluster.kubeconfig)}
        tasks = [{"name": "Apply", "holdfast.platform.kubernetes_objects": task}]
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
        argv = [PROGRAMS / "ansible-playbook", "-i", inventory, book, "-vvv", "--diff", *options]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout + done.stderr

    for said in (play("--check"), play()):
        assert "changed=1" in said
        assert "to-be-seen" in said
        assert "the-first-value" not in said
        assert "dGhlLWZpcnN0LXZhbHVl" not in said
    assert "changed=0" in play()
