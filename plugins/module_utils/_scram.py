# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-256 verifiers as PostgreSQL stores them, made and checked without the server.

The verifier is made here so that a plain password never reaches the server's log or its statistics, and an
existing one is checked with its own salt and iterations, so that a run with the same password changes nothing.

Sources: RFC 5802 (SCRAM), RFC 7677 (SHA-256), RFC 5803 (the stored form), RFC 4013 (SASLprep);
PostgreSQL `src/common/scram-common.c` and `src/common/saslprep.c`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass

#: PostgreSQL's own figure (`SCRAM_SHA_256_DEFAULT_ITERATIONS`); RFC 7677 asks for at least this many.
ITERATIONS = 4096
#: Bytes of salt (`SCRAM_DEFAULT_SALT_LEN`).
SALT_LENGTH = 16

_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


@dataclass(frozen=True)
class Verifier:
    """What a server keeps of a password: it can check one, and nobody can log in with it."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        """Return the form of `pg_authid.rolpassword`."""
        salt, stored, server = (
            base64.b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"


def prepare(password: str) -> bytes:
    """Return the bytes that are hashed: SASLprep (RFC 4013), or the password as it is where that forbids it.

    The second half is PostgreSQL's: a password that SASLprep refuses is used unchanged, by server and libpq alike.
    """
    raw = password.encode()
    if password.isascii():
        return raw
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared or any(table(char) for char in prepared for table in _PROHIBITED):
        return raw
    if any(stringprep.in_table_d1(char) for char in prepared):
        ends_right_to_left = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends_right_to_left or any(stringprep.in_table_d2(char) for char in prepared):
            return raw
    return prepared.encode()


def make(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> Verifier:
    """Make the verifier of a password, with a random salt unless one is given."""
    salt = secrets.token_bytes(SALT_LENGTH) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password), salt, iterations)
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    return Verifier(
        iterations=iterations,
        salt=salt,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=hmac.new(salted, b"Server Key", hashlib.sha256).digest(),
    )


def parse(text: str) -> Verifier | None:
    """Read a stored verifier; None when the text is anything else (an MD5 hash, say)."""
    match = _VERIFIER.fullmatch(text)
    if match is None:
        return None
    try:
        salt, stored, server = (base64.b64decode(part, validate=True) for part in match.groups()[1:])
    except binascii.Error:
        return None
    if not salt or len(stored) != 32 or len(server) != 32 or int(match[1]) < 1:
        return None
    return Verifier(iterations=int(match[1]), salt=salt, stored_key=stored, server_key=server)


def matches(stored: str | None, wanted: str) -> bool:
    """Tell whether `pg_authid.rolpassword` belongs to the wanted password.

    `wanted` is a password, or a verifier, which matches only itself.
    """
    if stored is None:
        return False
    if parse(wanted) is not None:
        return hmac.compare_digest(stored, wanted)
    verifier = parse(stored)
    if verifier is None:
        return False
    again = make(wanted, salt=verifier.salt, iterations=verifier.iterations)
    return hmac.compare_digest(str(again), str(verifier))
