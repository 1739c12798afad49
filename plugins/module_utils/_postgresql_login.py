# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A login to PostgreSQL, and nothing else, with the standard library alone: hosts that are only clients have no driver.

Sources: the manual's chapter "Frontend/Backend Protocol" (messages, SASL authentication), RFC 5802, RFC 7677 (SCRAM).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import socket
import ssl
import struct
from dataclasses import dataclass

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._scram import prepare

#: How a client asks for TLS (Frontend/Backend Protocol, SSLRequest); the server answers "S" when it offers it.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL = 196608  # 3.0
#: What pg_hba.conf calls a connection of a standby, which has no database.
REPLICATION = "replication"
_OK, _CLEARTEXT, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 10, 11, 12


@dataclass(frozen=True)
class Server:
    """Where to log in.

    name: the one that the server's certificate has to have. ca: file with the authorities that sign it. timeout in
    seconds.
    """

    host: str
    port: int
    name: str
    database: str
    ca: str
    timeout: float = 10


class Refused(Failed):
    """The server knows no such user, or not this password (SQLSTATE class 28)."""


def log_in(server: Server, user: str, password: str) -> None:
    """Log in over TLS with SCRAM-SHA-256, wait until the server takes queries, and leave.

    Raises Refused when the server refuses user or password, Failed for everything else that goes wrong.
    """
    where = f"{server.host}:{server.port}"
    try:
        with socket.create_connection((server.host, server.port), server.timeout) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise Failed(f"{where}: the server offers no TLS")
            context = ssl.create_default_context(cafile=server.ca)
            with context.wrap_socket(plain, server_hostname=server.name) as stream:
                _Session(stream, where).log_in(user, password, server.database)
    except (OSError, struct.error, IndexError, ValueError) as error:
        raise Failed(f"{where}: {error}") from error


class _Session:
    def __init__(self, stream: socket.socket, where: str) -> None:
        self.stream, self.where = stream, where

    def log_in(self, user: str, password: str, database: str) -> None:
        fields = {"user": user, "database": database, "application_name": "holdfast"}
        if database == REPLICATION:
            fields = {"user": user, "replication": "true", "application_name": "holdfast"}
        body = b"".join(part.encode() + b"\0" for pair in fields.items() for part in pair) + b"\0"
        self.stream.sendall(struct.pack("!ii", len(body) + 8, _PROTOCOL) + body)
        exchange = _Scram(password)
        while True:
            kind, body = self._message()
            if kind == b"R":
                self._authenticate(exchange, body)
            elif kind == b"Z":
                self._send(b"X", b"")
                return

    def _authenticate(self, exchange: _Scram, body: bytes) -> None:
        code, rest = struct.unpack("!i", body[:4])[0], body[4:]
        if code == _SASL:
            if b"SCRAM-SHA-256" not in rest.split(b"\0"):
                raise Failed(f"{self.where}: the server offers no SCRAM-SHA-256")
            first = exchange.first()
            self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        elif code == _SASL_CONTINUE:
            self._send(b"p", exchange.final(rest))
        elif code == _SASL_FINAL:
            exchange.check(rest)
        elif code != _OK:
            how = "a password in the clear" if code == _CLEARTEXT else f"authentication of type {code}"
            raise Failed(f"{self.where}: the server wants {how}; only SCRAM-SHA-256 is given")

    def _message(self) -> tuple[bytes, bytes]:
        kind = self._exactly(1)
        body = self._exactly(struct.unpack("!i", self._exactly(4))[0] - 4)
        if kind == b"E":
            said = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
            message = said.get(b"M", "an error without a message")
            # PgBouncer has its own words, and a code that says nothing (08P01): the second ones for a role that can't
            # log in, which it has not met before.
            words = any(text in message for text in ("authentication failed", "no such user"))
            refused = said.get(b"C", "").startswith("28") or words
            raise (Refused if refused else Failed)(f"{self.where}: {message}")
        return kind, body

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.stream.recv(count - len(data))
            if not part:
                raise Failed(f"{self.where}: the server closed the connection during the login")
            data += part
        return data

    def _send(self, kind: bytes, body: bytes) -> None:
        self.stream.sendall(kind + struct.pack("!i", len(body) + 4) + body)


class _Scram:
    """The client's side of SCRAM-SHA-256 without channel binding."""

    def __init__(self, password: str, nonce: str = "") -> None:
        self.password = prepare(password)
        self.nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self._signature = b""

    def first(self) -> bytes:
        return f"n,,n=,r={self.nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        match = re.fullmatch(rb"r=([^,]+),s=([^,]+),i=(\d+)(?:,.*)?", server_first)
        if match is None or not match[1].startswith(self.nonce.encode()) or len(match[1]) == len(self.nonce):
            raise Failed("the server's part of the SCRAM exchange is not what RFC 5802 says")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(match[2]), int(match[3]))
        without = b"c=biws,r=" + match[1]
        message = f"n=,r={self.nonce},".encode() + server_first + b"," + without
        client = _mac(salted, b"Client Key")
        signature = _mac(hashlib.sha256(client).digest(), message)
        self._signature = _mac(_mac(salted, b"Server Key"), message)
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client, signature)))

    def check(self, server_final: bytes) -> None:
        """Raise Failed when the server does not know the password's verifier itself."""
        if not hmac.compare_digest(server_final, b"v=" + base64.b64encode(self._signature)):
            raise Failed("the server could not prove that it knows the password")


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
