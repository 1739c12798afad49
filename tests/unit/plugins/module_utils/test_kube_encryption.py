# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys there are, which one a Secret has, and what a copy of an older time needs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_encryption, _kube_restore


def config(*names: str) -> str:
    lines = "".join(f"      - {{name: {name}, secret: {name[4:]}==}}\n" for name in names)
    return f"resources:\n- providers:\n  - secretbox:\n      keys:\n{lines}  - identity: {{}}\n"


def test_keys() -> None:
    assert _kube_restore.keys(config("key-1a", "key-2b")) == {"key-1a": "1a==", "key-2b": "2b=="}


@pytest.mark.parametrize(
    ("today", "then", "names"),
    [
        (["key-1a"], ["key-1a"], ["key-1a"]),
        (["key-2b"], ["key-1a"], ["key-2b", "key-1a"]),  # today's stays the one that is written with
        (["key-3c", "key-2b"], ["key-2b", "key-1a"], ["key-3c", "key-2b", "key-1a"]),
    ],
)
def test_a_copy_can_be_read_with_the_keys_of_its_time(today: list[str], then: list[str], names: list[str]) -> None:
    text = _kube_restore.readable(config(*today), config(*then))
    assert text == config(*names)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"k8s:enc:secretbox:v1:key-1a:\x00\x01", "key-1a"),
        (b"k8s:enc:aescbc:v1:key1:\x00", "key1"),
        (b"k8s\x00\n\x0c\n\x02v1", ""),
        (b"", ""),
    ],
)
def test_the_key_of_a_stored_value(value: bytes, key: str) -> None:
    assert _kube_encryption.key_of(value) == key


METRICS = """process_start_time_seconds 1.7e+09
apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{status="%s"} 1.8e+09
"""


@pytest.mark.parametrize(
    ("metrics", "moment"),
    [(METRICS % "success", 1.8e9), (METRICS % "failure", 1.7e9), ("process_start_time_seconds 5\n", 5.0), ("", 0.0)],
)
def test_when_keys_were_read(metrics: str, moment: float) -> None:
    assert _kube_encryption.read_at(metrics) == moment


class Pages:
    """An etcd that gives two values at a time."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self.values = dict(sorted(values.items()))
        self.asked = 0

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path == "kv/range"
        self.asked += 1
        start, end = base64.b64decode(body["key"]), base64.b64decode(body["range_end"])
        found = [(key, value) for key, value in self.values.items() if start <= key < end]
        kvs = [
            {"key": base64.b64encode(key).decode(), "value": base64.b64encode(value).decode()}
            for key, value in found[:2]
        ]
        return {"kvs": kvs, "more": len(found) > 2}


def test_all_secrets_are_counted_and_nothing_else() -> None:
    values = {f"/registry/secrets/a/{n}".encode(): b"k8s:enc:secretbox:v1:key-1a:" for n in range(5)}
    values |= {b"/registry/secretsx/a": b"", b"/registry/configmaps/a": b"", b"/registry/secrets/b/0": b"k8s\x00"}
    etcd = Pages(values)
    assert _kube_encryption.count(_kube_encryption.stored(etcd)) == {"key-1a": 5, "": 1}
    assert etcd.asked == 3
