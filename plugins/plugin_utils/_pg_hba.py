# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of pg_hba.conf from data. Source: PostgreSQL manual, chapter "Client Authentication"."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._columns import aligned

_KEYS = ("type", "database", "user", "sources", "method", "options")
#: Method by type: nothing but a refusal goes over an unencrypted connection, and nobody is trusted.
_METHODS = {
    "local": ("peer", "scram-sha-256", "reject"),
    "hostssl": ("scram-sha-256", "cert", "reject"),
    "host": ("reject",),
    "hostnossl": ("reject",),
}
#: A word that needs no quotes; keywords such as `all` and `replication` must have none.
_PLAIN = re.compile(r"\+?[a-z_][a-z0-9_$-]*")


def lines(rules: Any) -> list[str]:
    """Return aligned lines, one for each source of each rule, in order. Raises ValueError with the rule's place."""
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise ValueError(f"a list of rules is needed, not {rules!r}")  # noqa: TRY004 - one error for all
    rows = [row for index, rule in enumerate(rules) for row in _rows(f"rule {index}", rule)]
    return aligned(rows)


def _rows(where: str, rule: Any) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the cells type, database, user, address, method with options."""
    if not isinstance(rule, Mapping) or set(rule) - set(_KEYS):
        raise ValueError(f"{where}: {rule!r} must be a mapping of {', '.join(_KEYS)}")
    kind, method = rule.get("type", "hostssl"), rule.get("method", "scram-sha-256")
    if kind not in _METHODS:
        raise ValueError(f"{where}: type {kind!r} must be one of {', '.join(_METHODS)}")
    if method not in _METHODS[kind]:
        raise ValueError(f"{where}: method {method!r} with type {kind} must be one of {', '.join(_METHODS[kind])}")
    sources = rule.get("sources", [])
    if isinstance(sources, str) or bool(sources) == (kind == "local"):
        raise ValueError(f"{where}: sources must be a list, empty for type local and for no other")
    options = "".join(f" {name}={_quote(where, str(value))}" for name, value in (rule.get("options") or {}).items())
    database, user = (_words(where, rule.get(key, "all")) for key in ("database", "user"))
    for source in sources or [""]:
        yield kind, database, user, _network(where, source), f"{method}{options}"


def _network(where: str, source: Any) -> str:
    """Return an address or network with its length; empty stays empty."""
    try:
        return str(ipaddress.ip_network(source)) if source else ""
    except ValueError as error:
        raise ValueError(f"{where}: source {source!r} is no address or network: {error}") from error


def _words(where: str, value: Any) -> str:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{where}: {value!r} must be a name or a list of names")
    return ",".join(_quote(where, name) for name in names)


def _quote(where: str, word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    if re.search(r'[\r\n"]', word):
        raise ValueError(f"{where}: {word!r} can't be written in pg_hba.conf")
    return f'"{word}"'
