# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the Kubernetes API, as far as it needs no API."""

from __future__ import annotations

import base64
import json
import ssl
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused, Resource
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def document(user: dict[str, str], server: str = "https://127.0.0.1:6443") -> dict[str, Any]:
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(b"ca").decode()}
    return {"clusters": [{"cluster": cluster}], "users": [{"user": user}]}


def test_a_kubeconfig_with_a_certificate_or_a_token() -> None:
    pair = {key: base64.b64encode(key.encode()).decode() for key in ("client-certificate-data", "client-key-data")}
    access = _kube.parse_kubeconfig(document(pair), "admin.conf")
    assert (access.ca, access.certificate, access.key) == ("ca", "client-certificate-data", "client-key-data")
    assert access.key not in repr(access)
    access = _kube.parse_kubeconfig(document({"token": "sesame"}), "admin.conf")
    assert access.token == "sesame"
    assert "sesame" not in repr(access)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "admin.conf: the current context has no 'clusters'"),
        ({"clusters": None, "users": None}, "admin.conf: the current context has no"),
        (document({}, "http://here"), "admin.conf: the server 'http://here' has to begin with https://"),
    ],
)
def test_a_kubeconfig_that_is_none(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        _kube.parse_kubeconfig(given, "admin.conf")


def test_a_ca_that_is_none() -> None:
    with pytest.raises(Failed, match="can't be used"):
        Client(_kube.Access("https://here", "no certificate"))


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (Resource("v1", "Pod", "pods", namespaced=True), "/api/v1/namespaces/n/pods/a"),
        (Resource("v1", "Node", "nodes", namespaced=False), "/api/v1/nodes/a"),
        (
            Resource("apps/v1", "Deployment", "deployments", namespaced=True),
            "/apis/apps/v1/namespaces/n/deployments/a",
        ),
    ],
)
def test_paths(resource: Resource, path: str) -> None:
    assert resource.path("n" if resource.namespaced else "", "a") == path


@pytest.mark.parametrize(
    ("text", "said", "reason"),
    [
        (json.dumps({"kind": "Status", "message": "no", "reason": "Invalid"}).encode(), "no", "Invalid"),
        (b"bad gateway", "bad gateway", ""),
        (b"", "HTTP 502", ""),
        (b"[]", "[]", ""),
    ],
)
def test_refusals(text: bytes, said: str, reason: str) -> None:
    refusal = _kube._refusal(502, text)
    assert isinstance(refusal, Refused)
    assert (str(refusal), refusal.reason, refusal.status) == (said, reason, 502)


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ([{"type": "Ready", "status": "True"}], ""),
        ([{"type": "Ready", "status": "False", "message": "no network"}], "no network"),
        ([{"type": "MemoryPressure", "status": "False"}], "it has not said why"),
    ],
)
def test_unready(conditions: list[dict[str, str]], reason: str) -> None:
    assert _kube.unready({"status": {"conditions": conditions}}) == reason


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ssl.SSLEOFError("EOF occurred in violation of protocol"), 2),
        (ConnectionResetError("reset"), 2),
        (ssl.SSLCertVerificationError("self-signed certificate"), 1),
    ],
)
def test_a_server_that_ends_is_asked_again_and_one_that_is_not_trusted_is_not(
    monkeypatch: pytest.MonkeyPatch, error: Exception, asked: int
) -> None:
    answers: list[Exception | bytes] = [error, b'{"kind": "Status"}']
    requests = []

    def answer(*given: object) -> bytes:
        requests.append(given)
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(_kube, "context", lambda _: None)
    monkeypatch.setattr(_kube.Client, "_answer", answer)
    client = _kube.Client(_kube.Access("https://127.0.0.1:1", ""), sleep=lambda _: None)
    if asked == 1:
        with pytest.raises(_kube.Unreachable, match="self-signed"):
            client.request("GET", "/")
    else:
        assert client.request("GET", "/") == {"kind": "Status"}
    assert len(requests) == asked
