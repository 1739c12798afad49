# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Against servers of our own, since what is judged is what TLS does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._trust import (
    Port,
    Question,
    accepted,
    handshake,
    refused,
    served,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import Pair, make_intermediate, make_root, probe

NOW = datetime.now(UTC)
NAMES = ("db1.lab.internal", "127.0.0.1")


class Ca:
    def __init__(self) -> None:
        self.root = make_root("lab", NOW)
        self.intermediate = make_intermediate("lab", self.root, NOW)
        self.leaf = leaf(self.intermediate)


def leaf(issuer: Pair) -> str:
    return probe(issuer, NAMES, NOW, timedelta(hours=1))


OLD, NEW, OTHER = Ca(), Ca(), Ca()


@contextlib.contextmanager
def serving(directory: Path, chain: str, roots: str | None, *, postgresql: bool = False) -> Iterator[Port]:
    """A server that serves a chain and, when roots are given, wants a client's certificate."""
    file = directory / "served.pem"
    file.write_text(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if roots is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=roots)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain:
                plain.settimeout(5)
                if postgresql:
                    assert plain.recv(8) == bytes.fromhex("0000000804d2162f")
                    plain.sendall(b"S")
                with context.wrap_socket(plain, server_side=True) as stream:
                    stream.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Port("db/server", "127.0.0.1", listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def question(port: Port, asked: Ca, today: Ca) -> Question:
    probes = {"probe": asked.leaf, "current": today.leaf, "stranger": OTHER.leaf}
    return Question((port,), probes, today.intermediate.certificate)


def host(directory: Path, roots: str, chain: str) -> Path:
    """The files of a host."""
    (directory / "pki/db").mkdir(parents=True)
    for file in ("ca.crt", "pki/db/ca.crt"):
        (directory / file).write_text(roots)
    (directory / "pki/db/db.crt").write_text(chain)
    return directory


BOTH = OLD.root.certificate + NEW.root.certificate


@pytest.mark.parametrize("postgresql", [False, True])
def test_a_rotation_as_a_host_sees_it(tmp_path: Path, postgresql: bool) -> None:
    base = host(tmp_path / "etc", OLD.root.certificate, OLD.leaf)
    with serving(tmp_path, OLD.leaf, OLD.root.certificate, postgresql=postgresql) as port:
        problems = accepted(question(port, NEW, OLD), 0, base)
        assert [problem.partition(":")[0] for problem in problems] == [
            f"{base}/ca.crt",
            f"{base}/pki/db/ca.crt",
            "db/server",
        ]
        problems = served(question(port, NEW, NEW), 0, base)
        assert [problem.partition(":")[0] for problem in problems] == [f"{base}/pki/db/db.crt", "db/server"]
        assert served(question(port, OLD, OLD), 0, base) == []
        assert refused(question(port, NEW, OLD), 0, base) == []
    base = host(tmp_path / "both", BOTH, NEW.leaf)
    with serving(tmp_path, NEW.leaf, BOTH, postgresql=postgresql) as port:
        assert accepted(question(port, NEW, OLD), 0, base) == []
        assert served(question(port, OLD, NEW), 0, base) == []
        problems = refused(question(port, OLD, NEW), 0, base)
        assert [problem.partition(": ")[2] for problem in problems] == [
            *["still trusts the old CA"] * 2,
            "still takes a certificate of the old CA",
        ]


def test_a_new_intermediate_under_the_same_root_is_another_ca(tmp_path: Path) -> None:
    again = leaf(make_intermediate("lab", OLD.root, NOW))
    client = tmp_path / "client.pem"
    client.write_text(OLD.leaf)
    with serving(tmp_path, again, OLD.root.certificate) as port:
        assert "another CA" in handshake(port, client, OLD.intermediate.certificate)
        assert handshake(port, client) == ""


def test_a_port_that_looks_at_no_certificate_refuses_none(tmp_path: Path) -> None:
    base = host(tmp_path / "etc", NEW.root.certificate, NEW.leaf)
    with serving(tmp_path, NEW.leaf, None) as port:
        assert refused(question(port, OLD, NEW), 0, base) == []


def test_a_port_where_nobody_answers_has_proved_nothing(tmp_path: Path) -> None:
    base = host(tmp_path / "etc", NEW.root.certificate, NEW.leaf)
    with serving(tmp_path, NEW.leaf, None) as port:
        pass
    for ask in (accepted, served, refused):
        assert "refused" in "".join(ask(question(port, OLD if ask is refused else NEW, NEW), 0, base))


def test_a_host_without_roots_trusts_nobody(tmp_path: Path) -> None:
    asked = Question((), {"probe": NEW.leaf, "current": NEW.leaf, "stranger": OTHER.leaf}, NEW.intermediate.certificate)
    assert accepted(asked, 0, tmp_path) == [f"{tmp_path}/ca.crt: does not trust the new CA"]
