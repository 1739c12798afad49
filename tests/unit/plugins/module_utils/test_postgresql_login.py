# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import struct
import threading
from collections.abc import Callable

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_login import Refused, _Scram, _Session
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._scram import make

Server = Callable[[socket.socket], None]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def authentication(code: int, body: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", code) + body)


def error(code: str, text: str) -> bytes:
    return message(b"E", f"SFATAL\0C{code}\0M{text}\0\0".encode())


def receive(stream: socket.socket) -> bytes:
    """The body of the client's next message."""
    stream.recv(1)
    return stream.recv(struct.unpack("!i", stream.recv(4))[0] - 4)


def scram_server(stream: socket.socket) -> None:
    """Knows the password 'pencil' by its verifier alone, as PostgreSQL does."""
    verifier = make("pencil")
    stream.recv(1000)
    stream.sendall(authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
    first = receive(stream).partition(b"\0")[2][4:].removeprefix(b"n,,")
    nonce = first.partition(b"r=")[2] + b"server"
    salt = base64.b64encode(verifier.salt)
    answer = b"r=" + nonce + b",s=" + salt + b",i=" + str(verifier.iterations).encode()
    stream.sendall(authentication(11, answer))
    without, _, proof = receive(stream).rpartition(b",p=")
    transcript = b",".join((first, answer, without))
    signature = hmac.new(verifier.stored_key, transcript, hashlib.sha256).digest()
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
    if hashlib.sha256(client_key).digest() != verifier.stored_key:
        stream.sendall(error("28P01", 'password authentication failed for user "app_a"'))
        return
    mine = hmac.new(verifier.server_key, transcript, hashlib.sha256).digest()
    stream.sendall(authentication(12, b"v=" + base64.b64encode(mine)) + authentication(0))
    stream.sendall(message(b"S", b"server_version\0" + b"17\0") + message(b"Z", b"I"))
    assert stream.recv(5) == message(b"X", b"")


def saying(*answers: bytes) -> Server:
    def server(stream: socket.socket) -> None:
        stream.recv(1000)
        stream.sendall(b"".join(answers))

    return server


def serve(server: Server, stream: socket.socket) -> None:
    server(stream)
    stream.shutdown(socket.SHUT_WR)


def log_in(server: Server, password: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        thread = threading.Thread(target=serve, args=(server, theirs), daemon=True)
        thread.start()
        try:
            _Session(ours, "10.0.0.1:5432").log_in("app_a", password, "app")
        finally:
            ours.shutdown(socket.SHUT_WR)
            thread.join(5)


def test_the_right_password() -> None:
    log_in(scram_server, "pencil")


def test_the_wrong_password() -> None:
    with pytest.raises(Refused, match=r"10\.0\.0\.1:5432: password authentication failed"):
        log_in(scram_server, "eraser")


@pytest.mark.parametrize(
    ("server", "kind", "says"),
    [
        (saying(error("28000", 'role "app_a" is not permitted to log in')), Refused, "not permitted to log in"),
        (saying(error("08P01", "SASL authentication failed")), Refused, "SASL authentication failed"),
        (saying(error("08P01", "no such user")), Refused, "no such user"),
        (saying(error("53300", "too many connections")), Failed, "too many connections"),
        (saying(error("3D000", 'database "app" does not exist')), Failed, "does not exist"),
        (saying(authentication(3)), Failed, "wants a password in the clear; only SCRAM-SHA-256 is given"),
        (saying(authentication(5, b"salt")), Failed, "authentication of type 5"),
        (saying(authentication(10, b"GSSAPI\0\0")), Failed, "offers no SCRAM-SHA-256"),
        (saying(), Failed, "closed the connection during the login"),
        (saying(b"R\0\0"), Failed, "closed the connection during the login"),
    ],
)
def test_what_a_server_may_say(server: Server, kind: type[Failed], says: str) -> None:
    with pytest.raises(kind, match=says) as raised:
        log_in(server, "pencil")
    assert raised.type is kind
    assert "pencil" not in str(raised.value)


def test_a_server_that_does_not_know_the_password_is_no_server_of_ours() -> None:
    exchange = _Scram("pencil", nonce="abc")
    exchange.final(b"r=abcdef,s=" + base64.b64encode(b"salt") + b",i=4096")
    with pytest.raises(Failed, match="could not prove"):
        exchange.check(b"v=" + base64.b64encode(b"x" * 32))


@pytest.mark.parametrize("first", [b"r=other,s=c2FsdA==,i=1", b"r=abc,s=c2FsdA==,i=1", b"e=other-error"])
def test_a_server_that_breaks_the_exchange(first: bytes) -> None:
    with pytest.raises(Failed, match="RFC 5802"):
        _Scram("pencil", nonce="abc").final(first)


def test_the_example_of_rfc_7677() -> None:
    """Section 3, with the name left out, as PostgreSQL does; proof computed by the formula of RFC 5802, section 3."""
    nonce, salt = "rOprNGfwEbeRWgbNEkqO", b"W22ZaJ0SNY7soEsUEjb6gQ=="
    exchange = _Scram("pencil", nonce=nonce)
    first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" + salt + b",i=4096"
    last = exchange.final(first)
    verifier = make("pencil", salt=base64.b64decode(salt))
    transcript = f"n=,r={nonce},".encode() + first + b"," + last.rpartition(b",p=")[0]
    exchange.check(b"v=" + base64.b64encode(hmac.new(verifier.server_key, transcript, hashlib.sha256).digest()))
