# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill starts, and what it finds lacking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_drill
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

MANIFEST = """\
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.78.1.11
    - --etcd-servers=https://127.0.0.1:2379
    - --service-account-issuer="https://kubernetes.default.svc"
    - --verbose
    image: registry.k8s.io/kube-apiserver:v1.36.3
    name: kube-apiserver
"""


def test_a_manifest_names_image_and_flags() -> None:
    program = _kube_drill.Program.of(MANIFEST)
    assert program.image == "registry.k8s.io/kube-apiserver:v1.36.3"
    assert program.flags == {
        "--advertise-address": "10.78.1.11",
        "--etcd-servers": "https://127.0.0.1:2379",
        "--service-account-issuer": "https://kubernetes.default.svc",
        "--verbose": "",
    }


def test_a_manifest_without_an_image_is_refused() -> None:
    with pytest.raises(Failed, match="names no image"):
        _kube_drill.Program.of("")


def test_the_copy_is_reached_on_this_host_alone_and_touches_nothing_of_the_cluster() -> None:
    flags = _kube_drill.api_flags(_kube_drill.Program.of(MANIFEST).flags, Path("/drill"))
    assert flags["--etcd-servers"] == "https://127.0.0.1:23790"
    assert flags["--bind-address"] == "127.0.0.1"
    assert flags["--endpoint-reconciler-type"] == "none"
    assert flags["--audit-log-path"] == "/drill/audit.log"
    own = {
        "--cert-file": "/server.crt",
        "--peer-cert-file": "/peer.crt",
        "--initial-cluster": "a=b",
        "--data-dir": "/x",
    }
    etcd = _kube_drill.etcd_flags(own, Path("/drill/etcd"), "drill")
    assert etcd["--cert-file"] == "/server.crt"
    assert etcd["--peer-cert-file"] == "/peer.crt"
    assert etcd["--data-dir"] == "/drill/etcd"
    assert "--initial-cluster" not in etcd
    assert all("127.0.0.1" in value for flag, value in etcd.items() if flag.endswith("urls"))


def about(name: str, created: str) -> dict[str, Any]:
    return {"name": name, "namespace": "shop", "creationTimestamp": created}


@pytest.mark.parametrize(
    ("live", "missing"),
    [
        ({"1": about("kept", "2026-11-22T08:00:00Z")}, []),
        ({"2": about("old", "2026-11-22T08:00:00Z")}, ["secrets shop/old"]),
        ({"2": about("new", "2026-11-22T09:00:00Z")}, []),
        ({"2": about("meanwhile", "2026-11-22T08:29:58Z")}, []),
    ],
)
def test_what_is_older_than_the_copy_has_to_be_in_it(live: dict[str, Any], missing: list[str]) -> None:
    made = _kube_drill._moment("2026-11-22T08:30:00Z")
    assert _kube_drill.lacking({"/api/v1/secrets": live}, {"/api/v1/secrets": {"1": {}}}, made) == missing


def test_figures() -> None:
    stored: dict[str, dict[str, object]] = {
        "/api/v1/secrets": {"1": {}, "2": {}},
        "/api/v1/pods": {"3": {}},
        "/api/v1/nodes": {},
    }
    assert _kube_drill.figures(stored, 1.26, 2.0) == {
        "objects": 3, "secrets": 2, "kinds": 2, "recover_seconds": 1.3, "verify_seconds": 2.0,
    }  # fmt: skip
