# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that come from elsewhere: reading a file of them, and what an import makes of an owner's secrets.

Nothing here opens a store. Messages name secrets and lines, never a value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import datetime

import yaml
from cryptography import x509

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    ssh_public_key,
    stamp,
)

# NAME=value, as shells and container engines read it: https://docs.docker.com/compose/how-tos/environment-variables/
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def parse(text: str, where: str, known: Iterable[str], decrypt: Callable[[str], str]) -> dict[str, str]:
    """The values of a file, by path (`etcd/root`).

    text: YAML or JSON, `{owner: {name: value}}`, with values that may be `!vault`; or lines `ETCD_ROOT=value`, whose
    names are those of `known`, the paths that the site declares. decrypt: opens a value of Ansible Vault.
    Raises SecretsError that names everything which is not right.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise SecretsError(f"{where}: holds nothing")
    if all(_LINE.fullmatch(line) for line in lines):
        return _environment(lines, where, known)
    return _mapping(text, where, decrypt)


def _environment(lines: Iterable[str], where: str, known: Iterable[str]) -> dict[str, str]:
    names: dict[str, list[str]] = {}
    for path in known:
        names.setdefault(path.replace("/", "_").upper(), []).append(path)
    found: dict[str, str] = {}
    unknown = []
    for line in lines:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        paths = names.get(name.upper(), [])
        if len(paths) != 1:
            unknown.append(f"{name} ({' or '.join(paths)}?)" if paths else name)
            continue
        quoted = re.fullmatch(r"""(["'])(.*)\1""", value)
        found[paths[0]] = quoted.group(2) if quoted else value
    if unknown:
        raise SecretsError(f"{where}: no secret of this site: {', '.join(unknown)}; a line is OWNER_NAME=value")
    return found


def _mapping(text: str, where: str, decrypt: Callable[[str], str]) -> dict[str, str]:
    class Loader(yaml.SafeLoader):
        """Knows values of Ansible Vault."""

    Loader.add_constructor("!vault", lambda loader, node: decrypt(str(loader.construct_scalar(node))))  # type: ignore[arg-type]
    try:
        content = yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        # The parser's own message quotes the text around the fault.
        raise SecretsError(f"{where}: is neither YAML nor lines OWNER_NAME=value{line}") from None
    if not isinstance(content, dict):
        raise SecretsError(f"{where}: has to be a mapping of owners, each with a mapping of names to values")
    found: dict[str, str] = {}
    wrong = []
    for owner, values in content.items():
        if not isinstance(values, dict):
            wrong.append(f"{owner}: has to be a mapping of names to values")
            continue
        for name, value in values.items():
            if isinstance(value, str) and value:
                found[f"{owner}/{name}"] = value
            else:
                wrong.append(f"{owner}/{name}: has to be a text that is not empty (quote numbers)")
    if wrong:
        raise SecretsError(f"{where}: {'; '.join(wrong)}")
    return found


def check(values: Mapping[str, str], policies: Mapping[str, Policy | None], where: str) -> None:
    """Raise SecretsError that names every value which nothing declares, or which is not of its policy's shape.

    policies: what the site declares, by path; None for the parts of a CA. A shorter value than the policy's is taken:
    it is in use, and its successor will be of the right length.
    """
    wrong = [f"{path}: no secret of this site" for path in values if path not in policies]
    wrong += [
        f"{path}: {reason}"
        for path, value in values.items()
        if path in policies and (reason := _shape(value, policies[path]))
    ]
    if wrong:
        known = f". Known are {', '.join(sorted(policies))}" if any(path not in policies for path in values) else ""
        raise SecretsError(f"{where}: {'; '.join(sorted(wrong))}{known}")


def _shape(value: str, policy: Policy | None) -> str:
    """What is wrong with a value; empty when nothing is."""
    if policy is None:
        return "" if value.startswith("-----BEGIN ") else "has to be in PEM form"
    if policy.kind == "ssh_key":
        try:
            ssh_public_key(value)
        except SecretsError:
            return "has to be a private key of SSH without a passphrase"
        return ""
    if policy.kind in ("ec_key", "ca"):
        return "" if _is_pem(value, certificate=policy.kind == "ca") else f"has to be PEM ({_PEM[policy.kind]})"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        return "holds a line end or another control character"
    if policy.alphabet == "hex" and re.fullmatch("[0-9a-fA-F]+", value) is None:
        return "has to be of hexadecimal digits (alphabet: hex)"
    if policy.alphabet == "base64":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            return "has to be base64 (alphabet: base64)"
    return ""


_PEM = {"ec_key": "a private key", "ca": "a private key, then its certificate"}


def _is_pem(value: str, *, certificate: bool) -> bool:
    try:
        _pki.public_part(value)
        return not certificate or bool(x509.load_pem_x509_certificates(value.encode()))
    except (_pki.PkiError, ValueError):
        return False


def take_in(
    held: MutableMapping[str, Secret],
    owner: str,
    values: Mapping[str, str],
    policies: Mapping[str, Policy | None],
    now: datetime,
) -> tuple[list[str], list[str]]:
    """Put an owner's values (by name) in, with the declared policies. Returns the paths that are made, and replaced.

    Raises SecretsError for a secret whose rotation is under way: its versions have to stay what the journal says.
    """
    made: list[str] = []
    replaced: list[str] = []
    for name, value in sorted(values.items()):
        path, before = f"{owner}/{name}", held.get(name)
        if before is not None and before.current == value:
            continue
        if before is not None and before.journal:
            raise SecretsError(
                f"{path}: its rotation is under way ('{before.journal.phase}' done); finish or abort it, then import"
            )
        (made if before is None else replaced).append(path)
        held[name] = Secret(
            current=value, created=stamp(now), policy=policies[path], slot=before.slot if before else Secret.slot
        )
    return made, replaced
