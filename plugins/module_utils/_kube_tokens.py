# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of service accounts: which key signed them, and having them signed by another one.

A kubelet keeps tokens in memory until four fifths of their life are over; started anew it asks for new ones when it
next looks at its pods, within two minutes. Programs read theirs again once a minute (client-go, transport,
NewCachedFileTokenSource).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._kube import MERGE, Client
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock, until

PODS = Path("/var/lib/kubelet/pods")
#: Seconds after which every program has read its token again.
READ_AGAIN = 90
_FILES = "*/volumes/kubernetes.io~projected/*/*"
_JWT = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+")
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----([^-]+)-----END PUBLIC KEY-----")


def identity(public: str) -> str:
    """What tokens call the key that signed them: the hash of its DER form (kubernetes/pkg/serviceaccount/jwt.go).

    public: PEM. Raises Failed.
    """
    found = _PEM.search(public)
    if not found:
        raise Failed("a public key has to be PEM, with BEGIN PUBLIC KEY")
    digest = hashlib.sha256(base64.b64decode(found[1])).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def signer(token: str) -> str:
    """The identity of the key that signed a service account's token; empty for anything else."""
    parts = _JWT.fullmatch(token.strip())
    if not parts:
        return ""
    try:
        header, payload = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts.groups()
        )
    except ValueError:
        return ""
    return str(header.get("kid", "")) if str(payload.get("sub", "")).startswith("system:serviceaccount:") else ""


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    for path in root.glob(_FILES):
        try:
            if path.is_file() and path.stat().st_size < 1 << 14:
                yield path, signer(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # the pod has ended meanwhile
            continue


def held(old: Iterable[str], root: Path = PODS) -> list[str]:
    """The pods (by UID) of this host that have a token which one of these keys signed."""
    leaving = set(old)
    return sorted({path.relative_to(root).parts[0] for path, key in _files(root) if key in leaving})


def ask(old: Iterable[str], *, check: bool) -> bool:
    """Let the kubelet fetch new tokens when pods have old ones. Tells whether some had."""
    due = bool(held(old))
    if due and not check:
        run(["systemctl", "restart", "kubelet.service"])
    return due


def wait(old: Iterable[str], seconds: float, root: Path = PODS, clock: Clock = REAL) -> None:
    """Wait until no pod has an old token, and programs have read the new ones. Raises Failed."""
    leaving = list(old)

    def look() -> str:
        pods = held(leaving, root)
        if pods:
            return f"pods {', '.join(pods)} have tokens that the old key signed"
        newest = max((path.stat().st_mtime for path, key in _files(root) if key), default=0.0)
        return "programs may not have read their new tokens yet" if time.time() - newest < READ_AGAIN else ""

    reason = until(look, seconds, 2, clock)
    if reason:
        raise Failed(f"after {seconds:g} s {reason}")


def reissue(client: Client, old: Iterable[str], seconds: float, *, check: bool) -> list[str]:
    """Have tokens that lie in Secrets signed anew. Returns those Secrets. Raises Failed.

    The controller manager makes a token where a Secret of this type has none.
    """
    leaving, query = set(old), {"fieldSelector": "type=kubernetes.io/service-account-token"}

    def due() -> list[str]:
        found = []
        for one in client.items("/api/v1/secrets", **query):
            token = base64.b64decode((one.get("data") or {}).get("token", "")).decode(errors="replace")
            if not token or signer(token) in leaving:
                found.append(f"{one['metadata']['namespace']}/secrets/{one['metadata']['name']}")
        return found

    before = due()
    if check:
        return before
    for path in before:
        client.request("PATCH", f"/api/v1/namespaces/{path}", {"data": {"token": None}}, MERGE)
    still = until(due, seconds, 1)
    if still:
        raise Failed(f"{', '.join(still)}: no new token after {seconds:g} s; does the controller manager run?")
    return before
