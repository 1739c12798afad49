# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets at rest: which key each one is encrypted with in etcd, and writing them anew with the first one.

What is stored begins with the name of its key (kubernetes.io, "Encrypting Confidential Data at Rest").
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_restore
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import Client as Etcd
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import text
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_auth import range_end
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

PREFIX = "/registry/secrets/"
_STORED = re.compile(rb"k8s:enc:([a-z]+):v1:([^:]+):")
_PAGE = 500

#: An API server looks at the file once a minute, and says when it last did so with success.
_RELOADED = re.compile(
    r"(?m)^apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
    r'\{[^}]*status="success"[^}]*\} (\S+)$'
)
_STARTED = re.compile(r"(?m)^process_start_time_seconds (\S+)$")

_GONE_OR_NEWER = (404, 409)


def key_of(value: bytes) -> str:
    """The name of the key that a stored value is encrypted with; empty when it is not."""
    found = _STORED.match(value)
    return found[2].decode() if found else ""


def count(values: Iterable[bytes]) -> Counter[str]:
    """How many values are encrypted with which key."""
    return Counter(key_of(value) for value in values)


def stored(etcd: Etcd) -> Iterable[bytes]:
    """Every Secret as it is in etcd."""
    start, end = text(PREFIX), text(range_end(PREFIX))
    while True:
        answer = etcd.post("kv/range", {"key": start, "range_end": end, "limit": _PAGE})
        found = answer.get("kvs", [])
        yield from (base64.b64decode(one["value"]) for one in found)
        if not answer.get("more"):
            return
        start = base64.b64encode(base64.b64decode(found[-1]["key"]) + b"\0").decode()


def first() -> str:
    """The name of the key that is written with, by this host's configuration. Raises Failed."""
    names = list(_kube_restore.keys(_kube_restore.ENCRYPTION.read_text(encoding="utf-8")))
    if not names:
        raise Failed(f"{_kube_restore.ENCRYPTION} names no key")
    return names[0]


def read_at(metrics: str) -> float:
    """When an API server last read its configuration, in seconds since 1970: at its start, or later."""
    return max(map(float, _RELOADED.findall(metrics) + _STARTED.findall(metrics)), default=0.0)


def await_reload(server: str, kubeconfig: Path, seconds: float) -> None:
    """Wait until this host's API server has read the configuration that lies there. Raises Failed."""
    written = _kube_restore.ENCRYPTION.stat().st_mtime

    def late() -> str:
        argv = ["kubectl", "--kubeconfig", str(kubeconfig), "--server", server, "get", "--raw", "/metrics"]
        done = run(argv, check=False)
        if done.status:
            return done.err.strip()[-300:]
        return "" if read_at(done.out) >= written else "it has not read the new configuration yet"

    reason = until(late, seconds, 2)
    if reason:
        raise Failed(f"{server}: {reason}, {seconds:g} s after it was written")


def rewrite(client: Client) -> None:
    """Write every Secret anew, as it is. One that others write or delete meanwhile needs nothing."""
    for one in client.items("/api/v1/secrets"):
        path = f"/api/v1/namespaces/{one['metadata']['namespace']}/secrets/{one['metadata']['name']}"
        try:
            client.request("PUT", path, {"apiVersion": "v1", "kind": "Secret", **one})
        except Refused as refusal:
            if refusal.status not in _GONE_OR_NEWER:
                raise


def renew(client: Client, etcd: Etcd) -> Counter[str]:
    """Write Secrets anew, and count what is in etcd then. Raises Failed unless all have the first key."""
    rewrite(client)
    name, found = first(), count(stored(etcd))
    left = {key or "no key": number for key, number in found.items() if key != name}
    if left:
        raise Failed(f"not all Secrets are encrypted with {name}: {left}; run again")
    return found
