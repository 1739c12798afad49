# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a host trusts, and what it serves: tried with certificates made for it, against its files and its ports.

A file says what a program will trust when it reads it again; only a handshake says what a program trusts now. So each
question is put to both.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_login import SSL_REQUEST
from ansible_collections.holdfast.platform.plugins.module_utils._run import run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

BASE = Path("/etc/holdfast")

# ssl.VERIFY_X509_PARTIAL_CHAIN, which has a name from Python 3.10 on: a trusted intermediate is enough.
_PARTIAL_CHAIN = 0x80000


@dataclass(frozen=True)
class Port:
    """A port of this host that speaks TLS, at once or after SSLRequest."""

    name: str
    address: str
    number: int


@dataclass(frozen=True)
class Question:
    """What is asked of a host.

    probes: PEM of certificate, intermediate and key by name: `probe`, which the question is about; `current`, of the CA
    that signs today; `stranger`, of no CA that anybody knows. issuer: the intermediate of today.
    """

    ports: Sequence[Port]
    probes: Mapping[str, str] = field(repr=False)
    issuer: str

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Question:
        """Read what the controller sent."""
        return cls(tuple(Port(**port) for port in payload["ports"]), payload["probes"], payload["issuer"])


def accepted(question: Question, seconds: float = 30, base: Path = BASE) -> list[str]:
    """Why the probe is not trusted everywhere on this host; empty when it is.

    All three questions are asked again for that many seconds: a unit that has just been told may take a moment.
    """

    def look(files: Mapping[str, Path]) -> list[str]:
        problems = [
            f"{bundle}: does not trust the new CA" for bundle in bundles(base) if not trusts(bundle, files["probe"])
        ]
        return problems + [
            f"{port.name}: does not take a certificate of the new CA: {reason}"
            for port in question.ports
            for reason in [handshake(port, files["probe"])]
            if reason
        ]

    return _asked(question, look, seconds)


def served(question: Question, seconds: float = 30, base: Path = BASE) -> list[str]:
    """What on this host is still a certificate of another CA than the one that signs today, in files and on ports."""

    def look(files: Mapping[str, Path]) -> list[str]:
        problems = [
            f"{leaf}: is of another CA, and no service renews it; delete it when nobody needs it"
            for leaf in leaves(base)
            if not _verified(["-partial_chain", "-trusted", str(files["issuer"])], leaf)
        ]
        return problems + [
            f"{port.name}: {reason}"
            for port in question.ports
            for reason in [handshake(port, files["current"], question.issuer)]
            if reason
        ]

    return _asked(question, look, seconds)


def refused(question: Question, seconds: float = 30, base: Path = BASE) -> list[str]:
    """Where the probe is still trusted on this host; empty when nowhere.

    A port that takes a stranger's certificate looks at none. One that takes none at all is a problem of its own.
    """

    def look(files: Mapping[str, Path]) -> list[str]:
        problems = [f"{bundle}: still trusts the old CA" for bundle in bundles(base) if trusts(bundle, files["probe"])]
        for port in question.ports:
            if reason := handshake(port, files["current"]):
                problems.append(f"{port.name}: does not take a certificate of today's CA: {reason}")
            elif handshake(port, files["stranger"]) and not handshake(port, files["probe"]):
                problems.append(f"{port.name}: still takes a certificate of the old CA")
        return problems

    return _asked(question, look, seconds)


def bundles(base: Path) -> list[Path]:
    """The files of trusted roots."""
    return [base / "ca.crt", *sorted(base.glob("pki/*/ca.crt"))]


def leaves(base: Path) -> list[Path]:
    """The files of certificates."""
    return sorted(path for path in base.glob("pki/*/*.crt") if path.name != "ca.crt")


def trusts(bundle: Path, chain: Path) -> bool:
    """Whether a file of roots is enough to verify a chain. One that is missing trusts nobody."""
    return bundle.is_file() and _verified(["-CAfile", str(bundle), "-untrusted", str(chain)], chain)


def handshake(port: Port, client: Path, issuer: str = "", timeout: float = 5) -> str:
    """Offer a client's certificate to a port and let the handshake come to its end. Returns why it failed, or nothing.

    issuer: PEM of the only CA whose certificate the port may serve; without it any will do. TLS 1.2: there a server
    has judged the client's certificate when the handshake is over; with 1.3 its word comes later, or never.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(client)
    if issuer:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN)
        context.load_verify_locations(cadata=issuer)
    try:
        for ask in (True, False):
            with socket.create_connection((port.address, port.number), timeout) as plain:
                if ask and not _offers_tls(plain):
                    continue
                with context.wrap_socket(plain):
                    return ""
    except ssl.SSLCertVerificationError as error:
        return f"serves a certificate of another CA ({error.verify_message})"
    except OSError as error:
        return str(error)
    return ""


def _offers_tls(plain: socket.socket) -> bool:
    """Whether this is a server of PostgreSQL's protocol that offers TLS. Others take the question for rubbish."""
    try:
        plain.sendall(SSL_REQUEST)
        return plain.recv(1) == b"S"
    except OSError:
        return False


def _verified(options: Sequence[str], chain: Path) -> bool:
    return run(["openssl", "verify", "-no-CApath", "-no-CAstore", *options, str(chain)], check=False).status == 0


def _asked(question: Question, look: Callable[[Mapping[str, Path]], list[str]], seconds: float) -> list[str]:
    with _laid_down({**question.probes, "issuer": question.issuer}) as files:
        return until(lambda: look(files), seconds, pause=1)


@contextmanager
def _laid_down(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Files for programs that take no text, in a directory that only root can enter."""
    with tempfile.TemporaryDirectory(prefix="holdfast-trust-") as directory:
        files = {name: Path(directory, f"{name}.pem") for name in texts}
        for name, file in files.items():
            file.touch(mode=0o600)
            file.write_text(texts[name], encoding="utf-8")
        yield files
