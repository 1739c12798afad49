# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of Redis and its Sentinels with the standard library alone: TLS, a login, and many commands in one go.

The protocol is RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/): every reply is a text, a number,
None, a list of these, or an Error.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Union

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

Word = Union[str, int]


class Unreachable(Failed):
    """Nobody answers there, or not as Redis does."""


class Refused(Failed):
    """The server knows no such user, or not this password."""


@dataclass(frozen=True)
class Error:
    """A reply that is an error; the first word of text is its kind."""

    text: str


@dataclass(frozen=True)
class Server:
    """Where to connect: host and port, ca (file with the authorities that sign its certificate), the name that it has
    to prove (the host itself when it is empty), and seconds that anything may take."""

    host: str
    port: int
    ca: str
    name: str = ""
    timeout: float = 5

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Client:
    """A connection that is made with the first command. Use it as a context, so that it is closed."""

    def __init__(self, server: Server, user: str, passwords: Sequence[str]) -> None:
        """Keep how to get in: the first of passwords that the server takes."""
        self.server, self.user, self.passwords = server, user, list(passwords)
        self._stream: ssl.SSLSocket | None = None
        self._rest = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._stream:
            self._stream.close()
        self._stream, self._rest = None, b""

    def call(self, *words: Word) -> Any:
        """The reply to one command. Raises Unreachable, Refused, and Failed for a reply that is an error."""
        reply = self.pipeline([words])[0]
        if isinstance(reply, Error):
            raise Failed(f"redis {self.server} refused {' '.join(map(str, words[:2]))}: {reply.text}")
        return reply

    def pipeline(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to all commands, sent at once. Raises Unreachable and Refused; errors stand among the replies."""
        if self._stream is None:
            self.log_in()
        return self._ask(commands)

    def unauthenticated(self, *words: Word) -> Any:
        """The reply to a command of somebody who has not logged in; an Error when all is well. Raises Unreachable."""
        self._connect()
        return self._ask([words])[0]

    def _connect(self) -> None:
        try:
            context = ssl.create_default_context(cafile=self.server.ca)
            plain = socket.create_connection((self.server.host, self.server.port), self.server.timeout)
            self._stream = context.wrap_socket(plain, server_hostname=self.server.name or self.server.host)
        except (OSError, ValueError) as error:
            raise Unreachable(f"redis {self.server} does not answer: {error}") from error

    def log_in(self) -> None:
        """Connect, and prove who we are. Raises Unreachable and Refused."""
        self._connect()
        said = "no password is known"
        for password in self.passwords:
            reply = self._ask([("AUTH", self.user, password)])[0]
            if not isinstance(reply, Error):
                return
            said = reply.text
        self.close()
        wrong = "WRONGPASS" in said or not self.passwords
        raise (Refused if wrong else Unreachable)(f"redis {self.server} does not let {self.user} in: {said}")

    def _open(self) -> ssl.SSLSocket:
        if self._stream is None:
            raise OSError("the connection is closed")
        return self._stream

    def _ask(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        try:
            self._open().sendall(b"".join(map(encode, commands)))
            return [self._reply() for _ in commands]
        except (OSError, ValueError, IndexError) as error:
            self.close()
            raise Unreachable(f"redis {self.server} does not answer: {error}") from error

    def _reply(self) -> Any:
        line = self._until_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self._exactly(int(rest)).decode(errors="surrogateescape")
        if kind == b"*":
            return None if int(rest) < 0 else [self._reply() for _ in range(int(rest))]
        raise ValueError(f"a reply that begins with {kind!r} is none of Redis")

    def _more(self) -> None:
        part = self._open().recv(1 << 16)
        if not part:
            raise OSError("it closed the connection")
        self._rest += part

    def _until_line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._rest) < count + 2:
            self._more()
        data, self._rest = self._rest[:count], self._rest[count + 2 :]
        return data


def encode(words: Sequence[Word]) -> bytes:
    """A command as Redis reads it."""
    parts = [str(word).encode(errors="surrogateescape") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def pairs(flat: Sequence[Any] | None) -> dict[str, Any]:
    """A reply that lists names and values in turn, as a mapping."""
    flat = flat or []
    return {str(flat[index]): flat[index + 1] for index in range(0, len(flat) - 1, 2)}


def info(text: str) -> dict[str, str]:
    """What INFO says."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def split(address: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises Failed."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Failed(f"'{address}' is no address; write it as 10.77.1.11:6379")
    return host.strip("[]"), int(port)
