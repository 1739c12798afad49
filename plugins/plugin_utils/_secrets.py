# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret is, how one is made, and what every backend can do. Nothing here reads or writes a file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import string
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki
from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import parse_duration

# Owner and name end up in file names, in paths of a key-value server and in messages.
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

ALPHABETS = {"alnum": string.ascii_letters + string.digits, "hex": "0123456789abcdef", "base64": ""}
KINDS = ("text", "ssh_key", "ec_key", "ca", "pem")
ROTATIONS = ("replace", "dual", "alternate", "none")

#: The two users of a secret that alternates, told apart by these suffixes.
SLOTS = ("a", "b")

# Placeholders of check mode come from this. Drawn when the module is first loaded: the inventory plugin loads it
# in the main process, the workers that are forked later share it, so that one run sees one value for one name.
_RUN_KEY = os.urandom(32)


#: How often a change is tried while other writers are faster.
ATTEMPTS = 5

Result = TypeVar("Result")


class SecretsError(Exception):
    """Something about secrets that a person has to put right; the text says what and where, never a value."""


class ConflictError(SecretsError):
    """Another writer was faster: nothing was written, and the change can be made again from the new state."""


@dataclass(frozen=True)
class Policy:
    """How a secret is made and when it is due.

    kind: `text`, or one to which length and alphabet mean nothing: `ssh_key`, an Ed25519 key pair, kept as its private
    part; `ec_key`, a P-256 private key; `ca`, such a key and the certificate that it signed for itself, both PEM, for
    a program with an authority of its own; `pem`, a part of the site's CA, which is never drawn by itself.
    length: characters for `alnum` and `hex`; bytes, before they are encoded, for `base64`.
    lifetime: span after which it is due for rotation (`90d`), or None.
    rotation: what the service can do. `replace`: it knows one value at a time. `dual`: it accepts two at once.
    `alternate`: it has two users, `<name>_a` and `<name>_b`, in turn. `none`: it is never rotated.
    """

    length: int = 32
    alphabet: str = "alnum"
    lifetime: str | None = None
    rotation: str = "replace"
    kind: str = "text"

    @classmethod
    def of(cls, data: Mapping[str, Any], where: str) -> Policy:
        """Read a policy as descriptors and files hold it; raise SecretsError naming `where`, the key and the fix."""
        known = {"length": 32, "alphabet": "alnum", "lifetime": None, "rotation": "replace", "kind": "text"}
        for key in data:
            if key not in known:
                raise SecretsError(f"{where}: unknown key '{key}'; known are {', '.join(known)}")
        policy = cls(**{**known, **data})
        if not isinstance(policy.length, int) or isinstance(policy.length, bool) or not 8 <= policy.length <= 4096:
            raise SecretsError(f"{where}: length is {policy.length!r}, it has to be a number from 8 to 4096")
        if policy.alphabet not in ALPHABETS:
            raise SecretsError(f"{where}: alphabet is {policy.alphabet!r}, it has to be one of {', '.join(ALPHABETS)}")
        if policy.kind not in KINDS:
            raise SecretsError(f"{where}: kind is {policy.kind!r}, it has to be one of {', '.join(KINDS)}")
        if policy.rotation not in ROTATIONS:
            raise SecretsError(f"{where}: rotation is {policy.rotation!r}, it has to be one of {', '.join(ROTATIONS)}")
        if policy.lifetime is not None:
            try:
                parse_duration(str(policy.lifetime))
            except ValueError as error:
                raise SecretsError(f"{where}: lifetime: {error}") from error
        return policy

    def as_data(self) -> dict[str, Any]:
        """The policy as a file holds it."""
        data: dict[str, Any] = {"length": self.length, "alphabet": self.alphabet, "rotation": self.rotation}
        if self.kind != "text":
            data = {"kind": self.kind, "rotation": self.rotation}
        if self.lifetime is not None:
            data["lifetime"] = self.lifetime
        return data


@dataclass(frozen=True)
class Journal:
    """How far a secret's rotation has come. It is written together with the values, so that the two can't differ.

    id: of the rotation, for evidence. phase: the last one that is complete. began: ISO 8601 in UTC, also when `next`
    was made. before: when the value in use before it was made. back: it was aborted and goes back to that value.
    controller: the run that is at work on it, until the moment `until` (ISO 8601 in UTC) unless it says so again.
    switched: when programs were first told to use the new value, ISO 8601 in UTC; empty before.
    token: a number that grows with every run that takes it over; hosts refuse the smaller one (a fencing token).
    """

    id: str
    phase: str
    began: str
    before: str
    controller: str
    until: str
    token: int
    back: bool = False
    switched: str = ""

    @classmethod
    def of(cls, data: Any, where: str) -> Journal:
        """Read the journal of an entry; raise SecretsError naming `where`."""
        try:
            journal = cls(**data)
        except TypeError as error:
            raise SecretsError(f"{where}.journal: is no journal of a rotation: {error}") from None
        for key, value in vars(journal).items():
            kind = {"token": int, "back": bool}.get(key, str)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise SecretsError(f"{where}.journal.{key}: has to be of type {kind.__name__}")
        return journal


@dataclass(frozen=True)
class Secret:
    """One secret of one owner with its versions.

    current: the value in use. previous: still valid while a rotation drains it. next: made, not yet in use.
    retired: no longer valid, kept until a rotation has proved that it is refused.
    created: when `current` was made, ISO 8601 in UTC. policy: None for what a person wrote into the store.
    slot: the user that `current` belongs to when the secret alternates; the other versions belong to the other user.
    journal: of the rotation under way.
    """

    current: str = field(repr=False)
    created: str
    previous: str | None = field(default=None, repr=False)
    next: str | None = field(default=None, repr=False)
    retired: str | None = field(default=None, repr=False)
    policy: Policy | None = None
    slot: str = SLOTS[0]
    journal: Journal | None = None

    @classmethod
    def of(cls, data: Any, where: str) -> Secret:
        """Read one entry of a file; raise SecretsError naming `where` and the key. Values stay out of the message."""
        if not isinstance(data, dict):
            raise SecretsError(f"{where}: is not a mapping with the key 'current'")
        versions = {key: data.get(key) for key in ("current", "previous", "next", "retired")}
        for key, value in versions.items():
            if not (isinstance(value, str) and value) and (key == "current" or value is not None):
                raise SecretsError(f"{where}.{key}: has to be a text that is not empty")
        slot = data.get("slot", SLOTS[0])
        if slot not in SLOTS:
            raise SecretsError(f"{where}.slot: is {slot!r}, it has to be one of {', '.join(SLOTS)}")
        rest = {key: value for key, value in data.items() if key not in {*versions, "created", "slot", "journal"}}
        return cls(
            **versions,  # type: ignore[arg-type]
            created=str(data.get("created", "")),
            policy=Policy.of(rest, where) if rest else None,
            slot=slot,
            journal=Journal.of(data["journal"], where) if "journal" in data else None,
        )

    def as_data(self) -> dict[str, Any]:
        """The entry as a file holds it."""
        data: dict[str, Any] = {"current": self.current, "created": self.created}
        for key in ("previous", "next", "retired"):
            if getattr(self, key) is not None:
                data[key] = getattr(self, key)
        if self.slot != SLOTS[0]:
            data["slot"] = self.slot
        if self.journal:
            data["journal"] = asdict(self.journal)
        return data | (self.policy.as_data() if self.policy else {})

    def versions(self) -> list[str]:
        """Every value that may still be in use or come into use, the current one first."""
        return [value for value in (self.current, self.next, self.previous, self.retired) if value is not None]

    def accepted(self) -> list[str]:
        """What a service that knows several values at once has to accept, the current one first."""
        return [value for value in (self.current, self.next, self.previous) if value is not None]

    @property
    def other_slot(self) -> str:
        """The user that `current` does not belong to."""
        return SLOTS[1 - SLOTS.index(self.slot)]


class Store(Protocol):
    """A backend. All calls raise SecretsError; a failed transaction leaves the old state intact."""

    def read(self, owner: str) -> Mapping[str, Secret]:
        """All secrets of an owner by name; empty when the owner has none."""

    def transaction(self, owner: str) -> AbstractContextManager[MutableMapping[str, Secret]]:
        """Read the owner's secrets anew, change the mapping, and have all of it written at the end, or nothing.

        Two writers never mix: the second one waits, or gets a ConflictError at the end of its block.
        """

    def owners(self) -> list[str]:
        """Who has secrets here, sorted."""

    def remove(self, owner: str) -> None:
        """Take away all secrets of an owner, with every version of them."""

    def describe(self, owner: str) -> str:
        """Where this owner's secrets are, for messages."""


def update(store: Store, owner: str, change: Callable[[MutableMapping[str, Secret]], Result]) -> Result:
    """Change an owner's secrets in one transaction, and return what `change` returned.

    When another writer was faster, `change` is called again with what that one left. Raises SecretsError.
    """
    for attempt in range(ATTEMPTS):
        try:
            with store.transaction(owner) as held:
                result = change(held)
        except ConflictError:
            if attempt + 1 == ATTEMPTS:
                raise
            time.sleep(secrets.randbelow(200) / 1000)  # so that two writers don't meet again
        else:
            return result
    raise AssertionError("not reached")


def check_name(kind: str, name: object) -> str:
    """Return the name when it may name an owner or a secret, else raise SecretsError."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise SecretsError(f"'{name}' can't name {kind}: use lower-case letters, digits and _, starting with a letter")
    return name


def split_path(path: object) -> tuple[str, str]:
    """Split `etcd/root` into owner and name."""
    owner, slash, name = str(path).partition("/")
    if not slash:
        raise SecretsError(f"'{path}' is no secret; write <owner>/<name>, such as etcd/root")
    return check_name("an owner of secrets", owner), check_name("a secret", name)


def generate(policy: Policy) -> str:
    """Draw a new value from the system's random source. Raises SecretsError for a part of the CA."""
    if policy.kind in ("ec_key", "ca"):
        return _pem(policy.kind)
    if policy.kind == "pem":
        raise SecretsError("a part of the CA is made together with the others; name pki/ca or pki/intermediate")
    if policy.kind == "ssh_key":
        return ssh_private_key(secrets.token_bytes(32))
    if policy.alphabet == "base64":
        return base64.b64encode(secrets.token_bytes(policy.length)).decode()
    return "".join(secrets.choice(ALPHABETS[policy.alphabet]) for _ in range(policy.length))


def placeholder(path: str, policy: Policy, key: bytes = _RUN_KEY) -> str:
    """A value of the policy's shape for check mode: the same within a run, unrelated to any real value."""
    stream = hashlib.shake_256(hmac.digest(key, path.encode(), "sha256")).digest(policy.length)
    if policy.kind in ("ec_key", "ca"):
        return _pem(policy.kind, int.from_bytes(hashlib.sha256(stream).digest()[:31]))
    if policy.kind == "ssh_key":
        return ssh_private_key(hashlib.sha256(stream).digest())
    if policy.alphabet == "base64":
        return base64.b64encode(stream).decode()
    letters = ALPHABETS[policy.alphabet]
    return "".join(letters[byte % len(letters)] for byte in stream)


def _pem(kind: str, number: int | None = None) -> str:
    """A P-256 key, with a certificate of its own for a `ca`. number: the key itself, otherwise a new one is made."""
    curve = ec.SECP256R1()
    key = ec.generate_private_key(curve) if number is None else ec.derive_private_key(number, curve)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return text + _pki.own_certificate(key) if kind == "ca" else text


def ssh_private_key(seed: bytes) -> str:
    """The file of an Ed25519 private key, as ssh-keygen writes it. The seed has 32 bytes (RFC 8032, 5.1.5)."""
    return (
        Ed25519PrivateKey.from_private_bytes(seed)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        .decode()
    )


def ssh_public_key(private: str) -> str:
    """The public part of a secret of kind ssh_key: `ssh-ed25519 AAAA...`, without a comment.

    Raises SecretsError when the value is no private key of SSH.
    """
    try:
        key = serialization.load_ssh_private_key(private.encode(), None)
    except ValueError as error:
        raise SecretsError("the value is no private key of SSH; the secret's kind has to be ssh_key") from error
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def missing(present: Mapping[str, Secret], declared: Mapping[str, Policy]) -> list[str]:
    """Names that are declared and not there, sorted."""
    return sorted(declared.keys() - present.keys())


def fill(held: MutableMapping[str, Secret], declared: Mapping[str, Policy], now: datetime) -> list[str]:
    """Make what is missing, give what is there today's policy, and return the names that were made."""
    made = missing(held, declared)
    for name in made:
        held[name] = Secret(current=generate(declared[name]), created=stamp(now), policy=declared[name])
    for name, policy in declared.items():
        # A new policy counts from the next rotation on; the value stays what clients use.
        if held[name].policy != policy:
            held[name] = replace(held[name], policy=policy)
    return made


def stamp(now: datetime) -> str:
    """A moment (in UTC) as the files hold it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
