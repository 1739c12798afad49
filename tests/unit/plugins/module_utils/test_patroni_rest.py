# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the REST client against a real server with real TLS on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.holdfast.platform.plugins.module_utils import _patroni_rest
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_rest import (
    AbsentError,
    Client,
    FailedError,
    UnavailableError,
)


class Handler(BaseHTTPRequestHandler):
    """Answers as Patroni does: a status by path, what it was asked otherwise."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        body = {
            "method": self.command,
            "authorization": self.headers.get("Authorization"),
            "body": json.loads(self.rfile.read(length)) if length else None,
        }
        text = "<not json>" if self.path == "/html" else json.dumps(body)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PATCH = _answer  # noqa: N815 - names of the standard library


def _certificate(path: Path, address: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "member")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _serve(path: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path.with_suffix(".crt"), path.with_suffix(".key"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls")
    _certificate(path / "good", "127.0.0.1")
    _certificate(path / "other", "127.0.0.2")
    return path


@pytest.fixture(scope="module")
def member(certificates: Path) -> Iterator[str]:
    yield from _serve(certificates / "good")


@pytest.fixture(scope="module")
def impostor(certificates: Path) -> Iterator[str]:
    yield from _serve(certificates / "other")


@pytest.fixture
def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}"


def _client(urls: list[str], certificates: Path, ca: str = "good") -> Client:
    return Client(urls, ca_path=str(certificates / f"{ca}.crt"), username="patroni", password="s3cret")


def test_a_request_and_its_answer(member: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    answer = _client([member], certificates).request(member, "/config", method="PATCH", body={"ttl": None})
    assert answer == {"method": "PATCH", "authorization": "Basic cGF0cm9uaTpzM2NyZXQ=", "body": {"ttl": None}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "wrong user name or password"),
        (403, "may not do that"),
        (409, "same moment"),
        (502, "not initialized"),
        (503, "gone"),
        (500, "HTTP 500"),
    ],
)
def test_an_answer_that_is_no(member: str, certificates: Path, status: int, words: str) -> None:
    with pytest.raises(FailedError, match=words) as error:
        _client([member], certificates).request(member, f"/{status}")
    assert error.value.status == status
    assert str(error.value).startswith(member)


def test_an_answer_that_is_not_json(member: str, certificates: Path) -> None:
    with pytest.raises(FailedError, match="not JSON"):
        _client([member], certificates).request(member, "/html")


def test_the_first_that_answers(member: str, nobody: str, certificates: Path) -> None:
    url, answer = _client([nobody, member], certificates).first("/config")
    assert (url, answer["method"]) == (member, "GET")


def test_nobody_answers(nobody: str, certificates: Path) -> None:
    with pytest.raises(UnavailableError, match=f"{nobody}: .*refused") as error:
        _client([nobody], certificates).first("/config")
    assert error.value.absent


def test_nobody_answers_for_a_while(nobody: str, certificates: Path) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)

    with pytest.raises(UnavailableError):
        _client([nobody], certificates).first("/config", patience=0.05, sleep=sleep)
    assert naps


def test_no_authority_file_yet(member: str, certificates: Path) -> None:
    with pytest.raises(UnavailableError, match=r"missing\.crt does not exist") as error:
        _client([member], certificates, "missing").first("/config")
    assert error.value.absent


def test_an_authority_file_that_is_none(member: str, certificates: Path) -> None:
    (certificates / "spoiled.crt").write_text("spoiled")
    with pytest.raises(UnavailableError) as error:
        _client([member], certificates, "spoiled").first("/config")
    assert not error.value.absent


@pytest.mark.parametrize("ca", ["good", "other"])
def test_a_certificate_that_does_not_fit(impostor: str, member: str, certificates: Path, ca: str) -> None:
    url = member if ca == "other" else impostor
    with pytest.raises(
        UnavailableError, match=r"TLS: .*(CERTIFICATE_VERIFY_FAILED|certificate verify failed)"
    ) as error:
        _client([url], certificates, ca).first("/config")
    assert not error.value.absent, "an impostor is no fresh host"


def test_a_member_that_is_silent(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_patroni_rest, "REQUEST_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(AbsentError, match="timed out"):
            _client([url], certificates).request(url, "/config")


@pytest.mark.parametrize("urls", [[], ["http://10.0.0.1:8008"], ["10.0.0.1:8008"]])
def test_addresses_without_tls_are_refused(urls: list[str]) -> None:
    with pytest.raises(ValueError, match="https://<address>:<port>"):
        Client(urls)
