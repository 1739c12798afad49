# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests for serving certificates are approved. Requests are written by an independent library."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_approve

NODES = {"n1": ["n1", "n1.example.org", "10.0.1.11", "fd00::11"], "n2": ["n2", "10.0.2.11"]}
ORGANIZATION, NAME = NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME
SUBJECT = [(ORGANIZATION, "system:nodes"), (NAME, "system:node:n1")]
KEY = ec.generate_private_key(ec.SECP256R1())
USAGES = ["digital signature", "server auth"]


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def at(*addresses: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]


def pem(
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = SUBJECT,
    names: Sequence[x509.GeneralName] = (*dns("n1"), *at("10.0.1.11")),
    key: Any = KEY,
    more: Sequence[x509.ExtensionType] = (),
    attribute: tuple[x509.ObjectIdentifier, bytes] | None = None,
) -> str:
    """A request as the API has it."""
    name = x509.Name([x509.NameAttribute(*one) for one in subject])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    if attribute:
        builder = builder.add_attribute(*attribute)
    return encoded(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def request(**spec: Any) -> dict[str, Any]:
    """What the kubelet of n1 asks for, with some of it replaced."""
    whole = {
        "signerName": "kubernetes.io/kubelet-serving",
        "username": "system:node:n1",
        "groups": ["system:nodes", "system:authenticated"],
        "usages": USAGES,
        "request": spec.pop("pem", None) or pem(),
    }
    return {"metadata": {"name": "csr-1", "uid": "u", "resourceVersion": "7"}, "spec": {**whole, **spec}}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="name and address"),
        pytest.param({"pem": pem(names=dns("n1.example.org"))}, id="a name alone"),
        pytest.param({"pem": pem(names=at("fd00::11"))}, id="an address alone"),
        pytest.param({"pem": pem(subject=SUBJECT[::-1])}, id="the name first"),
        pytest.param(
            {
                "pem": pem(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
                "usages": [*USAGES, "key encipherment"],
            },
            id="RSA",
        ),
    ],
)
def test_what_is_declared_is_approved(given: dict[str, Any]) -> None:
    assert _kube_approve.judge(request(**given), NODES) == ""


LONG = "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"signerName": "kubernetes.io/kube-apiserver-client-kubelet"}, "is for the signer"),
        ({"username": "kubernetes-admin"}, "kubernetes-admin asks for it, who is no node"),
        ({"groups": ["system:authenticated"]}, "who is no node"),
        ({"username": "system:node:n3"}, "nobody declared the node n3"),
        ({"username": "system:node:"}, "nobody declared the node"),
        ({"username": "system:node:n2"}, "its subject is system:node:n1, system:nodes, not"),
        ({"usages": ["digital signature", "client auth"]}, "asks for the usages digital signature, client auth"),
        ({"usages": [*USAGES, "client auth"]}, "asks for the usages"),
        ({"usages": []}, r"asks for the usages \(none\)"),
        ({"pem": pem(names=())}, "names nothing"),
        (
            {"pem": pem(names=(*dns("n1"), *dns("kubernetes.default")))},
            "names kubernetes.default, which nobody declared",
        ),
        ({"pem": pem(names=(*dns("n1"), *at("10.0.2.11")))}, "names 10.0.2.11, which"),
        ({"pem": pem(names=dns("*.example.org"))}, r"names \*.example.org, which"),
        ({"pem": pem(names=dns("N1"))}, "names N1, which"),
        ({"pem": pem(names=(*dns("n1"), x509.RFC822Name("a@example.org")))}, "neither a host's nor an address"),
        ({"pem": pem(names=(*dns("n1"), x509.UniformResourceIdentifier("spiffe://x")))}, "neither a host's"),
        ({"pem": pem(subject=[*SUBJECT, (ORGANIZATION, "system:masters")])}, "its subject is .*system:masters"),
        ({"pem": pem(subject=[*SUBJECT, (NAME, "system:node:n2")])}, "its subject is"),
        ({"pem": pem(subject=SUBJECT[1:])}, "its subject is system:node:n1, not"),
        ({"pem": pem(subject=[SUBJECT[0], (NAME, "system:node:n1\nO=x")])}, "its subject is"),
        ({"pem": pem(subject=[*SUBJECT, (NameOID.COUNTRY_NAME, "DE")])}, "its subject is"),
        ({"pem": pem(more=[x509.BasicConstraints(ca=True, path_length=None)])}, "an extension that is unknown"),
        (
            {"pem": pem(attribute=(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x"))},
            "an attribute that is unknown|a part is",
        ),
        ({"pem": encoded(b"nothing of the kind")}, "holds no certificate request"),
        ({"pem": "not base64!"}, "holds no certificate request"),
        ({"pem": encoded(base64.b64decode(pem()) * 2)}, "holds no certificate request"),
        ({"pem": encoded(b"x\n" + base64.b64decode(pem()))}, "holds no certificate request"),
        ({"pem": encoded(LONG.format("MAA=").encode())}, "holds a request that no kubelet writes"),
        ({"pem": encoded(LONG.format("MIID").encode())}, "holds a request that no kubelet writes"),
        ({"pem": encoded(LONG.format("MA==").encode())}, "it is cut off|no kubelet writes"),
    ],
)
def test_anything_else_is_left(given: dict[str, Any], reason: str) -> None:
    said = _kube_approve.judge(request(**given), NODES)
    assert re.search(reason, said), said


def test_a_request_that_was_tampered_with_is_read_as_others_read_it_or_refused() -> None:
    """Every byte changed, and every length: the signer must not find a name that was not judged."""
    der = base64.b64decode("".join(base64.b64decode(pem()).decode().splitlines()[1:-1]))
    read = 0
    for number in range(len(der)):
        for changed in (
            der[:number],
            *(der[:number] + bytes([der[number] ^ bit]) + der[number + 1 :] for bit in (1, 128)),
        ):
            try:
                subject, names = _kube_approve.parse(encoded(LONG.format(base64.b64encode(changed).decode()).encode()))
                theirs = x509.load_der_x509_csr(changed)
                alternative = theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            except (_kube_approve.Refusal, ValueError, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
                continue
            assert [text for _, text in subject] == [one.value for one in theirs.subject]
            assert names == [str(one.value) for one in alternative]
            read += 1
    assert read > 100  # changes in keys and signatures, which the API checks


class Api:
    """An API that holds requests; one of them changes before it is written."""

    def __init__(self, *requests: dict[str, Any], changed: str = "") -> None:
        self.requests, self.changed, self.written = requests, changed, []  # type: ignore[var-annotated]

    def ask(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        if method == "GET":
            return {"items": list(self.requests)}
        if path.split("/")[-2] == self.changed:
            return None
        self.written.append((path, body))
        return dict(body)


def test_what_fits_is_approved_and_the_rest_is_told_of() -> None:
    done = {**request(), "status": {"conditions": [{"type": "Denied", "status": "True"}]}}
    api = Api(request(), {**request(usages=[]), "metadata": {"name": "csr-2"}}, done)
    approved, left = _kube_approve.approve(api.ask, NODES)
    assert approved == ["n1"]
    assert list(left) == ["csr-2"]
    ((path, body),) = api.written
    assert path == "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1/approval"
    assert body["metadata"] == {"name": "csr-1", "uid": "u", "resourceVersion": "7"}
    assert body["spec"] == request()["spec"] | {"request": body["spec"]["request"]}
    assert [(one["type"], one["status"]) for one in body["status"]["conditions"]] == [("Approved", "True")]


def test_a_trial_writes_nothing() -> None:
    api = Api(request())
    assert _kube_approve.approve(api.ask, NODES, check=True) == (["n1"], {})
    assert api.written == []


def test_one_that_somebody_else_decided_is_not_ours() -> None:
    assert _kube_approve.approve(Api(request(), changed="csr-1").ask, NODES) == ([], {})


KUBECTL = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "said").open("a") as log:
    log.write(" ".join(words) + chr(10))
if "get" in words:
    print((here / "answer").read_text())
elif (here / "conflict").exists():
    sys.exit("Error from server (Conflict): the object has been modified")
else:
    (here / "sent").write_text(sys.stdin.read())
    print("{{}}")
"""


@pytest.mark.parametrize("conflict", [False, True])
def test_it_is_a_program(tmp_path: Path, conflict: bool) -> None:
    """By itself, as the timer starts it: with the standard library and kubectl, without Ansible."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable), encoding="utf-8")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    listed = {"items": [request(), {**request(usages=[]), "metadata": {"name": "csr-2"}}]}
    (tmp_path / "answer").write_text(json.dumps(listed), encoding="utf-8")
    (tmp_path / "nodes.json").write_text(json.dumps(NODES), encoding="utf-8")
    if conflict:
        (tmp_path / "conflict").touch()
    argv = [sys.executable, "-I", str(_kube_approve.__file__), str(tmp_path / "nodes.json"), "/admin.conf"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("n1: its serving certificate is approved" in done.stdout) is not conflict
    assert "csr-2 stays undecided: asks for the usages" in done.stderr
    assert conflict or json.loads((tmp_path / "sent").read_text(encoding="utf-8"))["metadata"]["uid"] == "u"
