# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of etcd's JSON gateway against real TLS on this machine: who is asked, in which order, each refusal."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_auth, _etcd_health
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import (
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Client,
    Member,
    Refused,
    Status,
    Unreachable,
    plain,
    text,
)
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_auth import User
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_member import living


@dataclass(frozen=True)
class No:
    """A refusal: HTTP status and body, as the gateway sends them."""

    status: int
    body: bytes

    @classmethod
    def of(cls, code: int, words: str, key: str = "error") -> No:
        """Make one with a gRPC code."""
        return cls(
            {UNAVAILABLE: 503, DEADLINE_EXCEEDED: 504}.get(code, 400), json.dumps({key: words, "code": code}).encode()
        )


NO_LEADER = No.of(UNAVAILABLE, "etcdserver: no leader")
NOT_ENABLED = No.of(FAILED_PRECONDITION, "etcdserver: authentication is not enabled")
WRONG_PASSWORD = No.of(INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password")
GARBAGE = No(0, b"garbage\r\n\r\n")


@dataclass
class Etcd:
    """One endpoint: what it answers on each path, and what it was asked as (path, token, body)."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str | None, Any]] = field(default_factory=list)


USAGES = (
    "digital_signature",
    "key_cert_sign",
    "crl_sign",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)
Start = Callable[..., Etcd]
Files = dict[str, Any]


def _handler(etcd: Etcd) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path = self.path.removeprefix("/v3/")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            etcd.asked.append((path, self.headers.get("Authorization"), body))
            answer = etcd.answers[path]
            if callable(answer):
                answer = answer(body)
            if answer is GARBAGE:
                self.wfile.write(GARBAGE.body)
                return
            self.send_response(answer.status if isinstance(answer, No) else 200)
            self.end_headers()
            self.wfile.write(answer.body if isinstance(answer, No) else json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _pair(path: Path, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None) -> Any:
    """Write path.crt and path.key, self-signed without an issuer, and return both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, path.name)])
    now = datetime.datetime.now(datetime.UTC)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer[1] if issuer else key).public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.KeyUsage(**(dict.fromkeys(USAGES, False) | {USAGES[not issuer]: True})), critical=True)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    path.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return certificate, key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Make a site's CA with a certificate of an etcd member, and return the client's files."""
    path = tmp_path_factory.mktemp("tls")
    authority = _pair(path / "ca", None)
    _pair(path / "etcd", authority)
    _pair(path / "stranger", None)
    return {"ca": str(path / "ca.crt"), "certificate": str(path / "etcd.crt"), "key": str(path / "etcd.key")}


@pytest.fixture
def start(files: Files) -> Iterator[Start]:
    """Start endpoints, each with its answers by path. Clients need a certificate of the CA, as with etcd."""
    running = []
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["ca"])
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(files["certificate"], files["key"])

    def run(**answers: Any) -> Etcd:
        etcd = Etcd(answers={path.replace("__", "/"): answer for path, answer in answers.items()})
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(etcd))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        etcd.url = f"https://127.0.0.1:{server.server_address[1]}"
        return etcd

    yield run
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nobody() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("words", ["", "/holdfast/", "zürich"])
def test_texts(words: str) -> None:
    assert plain(text(words)) == words
    assert text("foo") == "Zm9v", "as in the examples of etcd's documentation"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param({"count": "0"}, None, id="in"),
        pytest.param(No.of(3, "etcdserver: revision of auth store is old", "message"), None, id="read, and too old"),
        pytest.param(No.of(UNAUTHENTICATED, "etcdserver: invalid auth token"), UNAUTHENTICATED, id="of another key"),
        pytest.param(NO_LEADER, UNAVAILABLE, id="can't tell"),
    ],
)
def test_whether_a_member_signs_with_a_key(start: Start, files: Files, answer: Any, problem: int | None) -> None:
    one = start(kv__range=answer)
    client = Client([one.url], **files)
    if problem is None:
        client.knows("key", "root")
    else:
        with pytest.raises(Refused) as refused:
            client.knows("key", "root")
        assert refused.value.code == problem
    (_, token, _) = one.asked[0]
    head, claims, signature = str(token).split(".")
    expected = hmac.new(b"key", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(f"{signature}==") == expected
    assert json.loads(base64.urlsafe_b64decode(f"{head}==")) == {"alg": "HS256", "typ": "JWT"}
    said = json.loads(base64.urlsafe_b64decode(f"{claims}=="))
    assert (said["username"], said["revision"]) == ("root", 1)
    assert 0 < said["exp"] - time.time() <= 60


def test_a_member_that_does_not_answer_says_nothing_of_a_key(nobody: str, files: Files) -> None:
    with pytest.raises(Unreachable, match="127"):
        Client([nobody], **files).knows("key", "root")


def test_the_first_that_answers_stays_the_first(start: Start, nobody: str, files: Files) -> None:
    one, two = start(kv__range={"count": "1"}), start(kv__range={"count": "2"})
    client = Client([nobody, one.url, two.url], **files)
    assert client.post("kv/range", {"key": text("a")}) == {"count": "1"}
    assert client.endpoints == [one.url, nobody, two.url]
    assert client.post("kv/range") == {"count": "1"}
    assert (one.asked, two.asked) == ([("kv/range", None, {"key": text("a")}), ("kv/range", None, {})], [])


def test_a_proxy_of_the_environment_is_not_asked(start: Start, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert Client([start(x={}).url], **files).post("x") == {}


def test_a_member_that_is_silent(start: Start, files: Files) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        one = start(x={})
        client = Client([f"https://127.0.0.1:{silent.getsockname()[1]}", one.url], **files, timeout=0.3)
        assert client.post("x") == {}


def test_a_member_gets_time_to_hash_a_password(start: Start, files: Files) -> None:
    def slowly(_: Any) -> dict[str, str]:
        time.sleep(0.5)
        return {"token": "t"}

    one, other = start(auth__authenticate=slowly, x=slowly), start(auth__authenticate={"token": "t"}, x={"y": 1})
    client = Client([one.url, other.url], **files, timeout=0.2, user="u", password="p")
    assert client.post("x") == {"y": 1}
    assert [path for path, _, _ in one.asked] == ["auth/authenticate", "x"]


@pytest.mark.parametrize(
    "first", [GARBAGE, NO_LEADER, No.of(DEADLINE_EXCEEDED, "context deadline exceeded")], ids=["garbage", "14", "4"]
)
def test_a_member_that_can_not_serve_is_passed_over(start: Start, files: Files, first: No) -> None:
    one, two = start(x=first), start(x={"y": 1})
    client = Client([one.url, two.url], **files)
    assert client.post("x") == {"y": 1}
    assert client.endpoints == [two.url, one.url]


def test_nobody_answers(nobody: str, files: Files) -> None:
    with pytest.raises(Unreachable, match=f"^no etcd member answered: {nobody}: .*refused; {nobody}: .*refused"):
        Client([nobody, nobody], **files).post("x")


def test_nobody_to_ask(files: Files) -> None:
    with pytest.raises(Unreachable):
        Client([], **files).post("x")


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        (WRONG_PASSWORD, INVALID_ARGUMENT, "invalid user ID or password"),
        (No.of(5, "etcdserver: member not found", "message"), 5, "member not found"),
        (No(404, b"404 page not found"), -1, "404 page not found"),
        (No(502, b"\xff"), -1, "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_refused(start: Start, files: Files, refusal: No, code: int, words: str) -> None:
    one, two = start(x=refusal), start(x={})
    with pytest.raises(Refused) as caught:
        Client([one.url, two.url], **files).post("x")
    assert caught.value.code == code
    assert str(caught.value).startswith(f"etcd {one.url} refused x: ")
    assert str(caught.value).endswith(words)
    assert two.asked == [], "a no is an answer"


def test_nobody_can_serve(start: Start, nobody: str, files: Files) -> None:
    one = start(x=NO_LEADER)
    with pytest.raises(Refused, match="no leader") as caught:
        Client([nobody, one.url, nobody], **files).post("x")
    assert caught.value.code == UNAVAILABLE


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
def test_a_file_that_is_missing(nobody: str, files: Files, missing: str) -> None:
    with pytest.raises(Unreachable, match="the certificates of the etcd client can't be read"):
        Client([nobody], **(files | {missing: "/nowhere"})).post("x")


def test_a_stranger_is_no_member(start: Start, files: Files) -> None:
    stranger = files | {"ca": files["ca"].replace("ca.crt", "stranger.crt")}
    with pytest.raises(Unreachable, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
        Client([start(x={}).url], **stranger).post("x")


# Logging in


def test_one_token_for_all_calls(start: Start, files: Files) -> None:
    one = start(auth__authenticate={"token": "t1"}, x={})
    client = Client([one.url], **files, user="root", password="s3cret")
    client.post("x", {"a": 1})
    client.post("x")
    assert one.asked == [
        ("auth/authenticate", None, {"name": "root", "password": "s3cret"}),
        ("x", "t1", {"a": 1}),
        ("x", "t1", {}),
    ]


def test_no_token_is_needed_while_authentication_is_off(start: Start, files: Files) -> None:
    one = start(auth__authenticate=NOT_ENABLED, x={})
    client = Client([one.url], **files, user="root", password="s3cret")
    client.post("x")
    client.post("x")
    assert [(path, token) for path, token, _ in one.asked] == [("auth/authenticate", None), ("x", None), ("x", None)]


def test_a_wrong_password(start: Start, files: Files) -> None:
    one = start(auth__authenticate=WRONG_PASSWORD)
    with pytest.raises(Refused, match="invalid user ID or password") as caught:
        Client([one.url], **files, user="root", password="wr0ng").post("x")
    assert "wr0ng" not in str(caught.value)


def test_logging_in_where_there_is_a_leader(start: Start, files: Files) -> None:
    one, two = start(auth__authenticate=NO_LEADER), start(auth__authenticate={"token": "t2"}, x={})
    Client([one.url, two.url], **files, user="root", password="s3cret").post("x")
    assert [(path, token) for path, token, _ in two.asked] == [("auth/authenticate", None), ("x", "t2")]


# What the cluster says

MEMBERS = {
    "header": {"cluster_id": "1", "member_id": "11", "raft_term": "2"},
    "members": [
        {"ID": "13", "peerURLs": ["https://10.0.3.11:2380"]},
        {"ID": "12", "name": "b1", "peerURLs": ["https://10.0.2.11:2380"], "clientURLs": [], "isLearner": True},
        {"ID": "11", "name": "a1", "peerURLs": ["https://10.0.1.11:2380"], "clientURLs": ["https://10.0.1.11:2379"]},
    ],
}
PARSED = [
    Member("13", "", ("https://10.0.3.11:2380",), ()),
    Member("11", "a1", ("https://10.0.1.11:2380",), ("https://10.0.1.11:2379",)),
    Member("12", "b1", ("https://10.0.2.11:2380",), (), learner=True),
]


def test_members(start: Start, files: Files) -> None:
    one = start(cluster__member__list=MEMBERS, cluster__member__add={}, cluster__member__remove={})
    client = Client([one.url], **files)
    assert client.members() == PARSED
    assert client.add("https://10.0.4.11:2380") == PARSED
    client.remove("13")
    assert [(path, body) for path, _, body in one.asked] == [
        ("cluster/member/list", {"linearizable": True}),
        ("cluster/member/add", {"peerURLs": ["https://10.0.4.11:2380"], "isLearner": True}),
        ("cluster/member/list", {"linearizable": True}),
        ("cluster/member/remove", {"ID": "13"}),
    ]


@pytest.mark.parametrize(
    ("answer", "members"),
    [(MEMBERS, PARSED), (NO_LEADER, None), (No.of(DEADLINE_EXCEEDED, "too slow"), None)],
    ids=["cluster", "no leader", "too slow"],
)
def test_living(start: Start, files: Files, answer: Any, members: list[Member] | None) -> None:
    assert living(Client([start(cluster__member__list=answer).url], **files)) == members


def test_living_with_nobody_there(nobody: str, files: Files) -> None:
    assert living(Client([nobody], **files)) is None


def test_living_is_not_denied_by_a_wrong_password(start: Start, files: Files) -> None:
    client = Client([start(auth__authenticate=WRONG_PASSWORD).url], **files, user="root", password="x")
    with pytest.raises(Refused):
        living(client)


STATUS = {
    "header": {"cluster_id": "1", "member_id": "11", "revision": "7", "raft_term": "2"},
    "version": "3.5.16",
    "dbSize": "20480",
    "leader": "12",
    "raftIndex": "99",
    "raftTerm": "2",
    "errors": ["memberID:11 alarm:NOSPACE "],
    "isLearner": True,
}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (STATUS, Status("", "11", "12", "3.5.16", 7, 99, 20480, True, ("memberID:11 alarm:NOSPACE ",))),
        pytest.param(
            {"header": {"member_id": "11"}, "version": "3.4.23"},
            Status("", "11", "0", "3.4.23", 0, 0, 0, False),
            id="zeros are left out",
        ),
    ],
)
def test_status(start: Start, files: Files, answer: dict[str, Any], status: Status) -> None:
    one = start(maintenance__status=answer)
    found = Client([one.url], **files).status()
    assert found == Status(**(vars(status) | {"endpoint": one.url}))


@pytest.mark.parametrize(
    ("answer", "alarms"),
    [
        ({"header": {}}, []),
        ({"alarms": [{"memberID": "11", "alarm": "NOSPACE"}]}, ["NOSPACE on member 11"]),
        ({"alarms": [{}]}, ["NONE on member ?"]),
    ],
)
def test_alarms(start: Start, files: Files, answer: dict[str, Any], alarms: list[str]) -> None:
    assert Client([start(maintenance__alarm=answer).url], **files).alarms() == alarms


# Users


def login(body: dict[str, str]) -> Any:
    """Answer as an etcd on which the password of everybody is `right`."""
    return {"token": f"of {body['name']}"} if body["password"] == "right" else WRONG_PASSWORD


PERMISSIONS = {
    "perm": [
        {"permType": "READWRITE", "key": text("/pg/"), "range_end": text("/pg0")},
        {"permType": "READ", "key": text("/a")},
        {"key": text("/b")},
        {"permType": "WRITE"},
    ]
}


@pytest.mark.parametrize(("password", "matching"), [("right", {"root", "pg"}), ("wrong", {"root"})])
def test_users_are_read(start: Start, files: Files, password: str, matching: set[str]) -> None:
    one = start(
        auth__authenticate=login,
        auth__status={"enabled": True},
        auth__user__list={"users": ["other", "pg", "root"]},
        auth__role__list={"roles": ["other", "pg", "root"]},
        auth__user__get=lambda body: {"roles": [body["name"]]},
        auth__role__get=lambda body: PERMISSIONS if body["role"] == "pg" else {},
    )
    client = Client([one.url], **files, user="root", password="right")
    users = [User("root", "right", role="root"), User("pg", password, ("/pg/",)), User("new", password)]
    assert _etcd_auth.read(client, files, users) == _etcd_auth.Actual(
        enabled=True,
        users={"pg": frozenset({"pg"}), "root": frozenset({"root"})},
        roles={
            "pg": frozenset({("/pg/", "/pg0", "READWRITE"), ("/a", "", "READ"), ("/b", "", "READ"), ("", "", "WRITE")}),
            "root": frozenset(),
        },
        matching=frozenset(matching),
    )
    tried = [body["name"] for path, _, body in one.asked if path == "auth/authenticate"]
    assert tried == ["root", "root", "pg"], "a user that does not exist is not tried"


def test_users_of_a_fresh_cluster(start: Start, files: Files) -> None:
    one = start(auth__authenticate=NOT_ENABLED, auth__status={}, auth__user__list={}, auth__role__list={})
    client = Client([one.url], **files, user="root", password="s3cret")
    assert _etcd_auth.read(client, files, [User("pg", "x")]) == _etcd_auth.Actual()


def test_logging_in_that_fails_otherwise_is_told(start: Start, files: Files) -> None:
    with pytest.raises(Refused, match="no leader"):
        _etcd_auth.login_works([start(auth__authenticate=NO_LEADER).url], files, "pg", "x")


# Health


def test_health_is_read(start: Start, nobody: str, files: Files) -> None:
    one = start(
        auth__authenticate=login,
        maintenance__status=STATUS,
        cluster__member__list=MEMBERS,
        maintenance__alarm={},
        auth__user__list=No.of(INVALID_ARGUMENT, "etcdserver: user name is empty"),
    )
    clients = {url: Client([url], **files, user="root", password="right") for url in (nobody, one.url)}
    reading = _etcd_health.read(clients, Client([one.url], **files))
    assert isinstance(reading.answers[one.url], Status)
    assert "no etcd member answered" in str(reading.answers[nobody])
    assert (reading.members, reading.alarms, reading.open_door, reading.error) == (PARSED, [], False, "")
    assert one.asked[-1][:2] == ("auth/user/list", None)
    one.answers["auth/user/list"] = {"users": ["root"]}
    assert _etcd_health.read(clients, Client([one.url], **files)).open_door
    one.answers["maintenance/alarm"] = No.of(7, "etcdserver: permission denied")
    assert "permission denied" in _etcd_health.read(clients, Client([one.url], **files)).error


def test_health_with_nobody_there(nobody: str, files: Files) -> None:
    reading = _etcd_health.read({nobody: Client([nobody], **files)}, Client([nobody], **files))
    assert "no etcd member answered" in reading.error
