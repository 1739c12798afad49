# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_import import check, parse, take_in
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Journal,
    Policy,
    Secret,
    SecretsError,
    ssh_private_key,
)

KNOWN = ["etcd/root", "postgresql/app_rw", "a/b_c", "a_b/c"]
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def read(text: str) -> dict[str, str]:
    return parse(text, "old.yml", KNOWN, lambda text: f"opened {text.strip()}")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("etcd: {root: hunter2}", {"etcd/root": "hunter2"}),
        ('{"etcd": {"root": "hunter2"}, "x": {"y": "z"}}', {"etcd/root": "hunter2", "x/y": "z"}),
        ("etcd:\n  root: !vault |\n    $ANSIBLE_VAULT\n    66\n", {"etcd/root": "opened $ANSIBLE_VAULT\n66"}),
        ("# old\nETCD_ROOT=hunter2\n\nexport POSTGRESQL_APP_RW='a=b #c'\n", {"etcd/root": "hunter2"}),
        ('etcd_root="hunter2"', {"etcd/root": "hunter2"}),
    ],
)
def test_forms(text: str, values: dict[str, str]) -> None:
    if "APP_RW" in text:
        values = {**values, "postgresql/app_rw": "a=b #c"}
    assert read(text) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n# nothing\n", "old.yml: holds nothing"),
        ("hunter2", "old.yml: has to be a mapping of owners"),
        ("- hunter2", "old.yml: has to be a mapping of owners"),
        ("etcd: hunter2\nx: {y: 5}", "etcd: has to be a mapping of names to values; x/y: has to be a text"),
        ("etcd: {root: 12345}", "etcd/root: has to be a text that is not empty (quote numbers)"),
        ("etcd: {root: hunter2", "old.yml: is neither YAML nor lines OWNER_NAME=value (line 1)"),
        ("etcd: {root: !secret hunter2}", "old.yml: is neither YAML nor lines"),
        ("ETCD_ROT=hunter2\nETCD_ROOT=x", "no secret of this site: ETCD_ROT; a line is OWNER_NAME=value"),
        ("A_B_C=hunter2", "no secret of this site: A_B_C (a/b_c or a_b/c?)"),
    ],
)
def test_a_file_that_is_none(text: str, said: str) -> None:
    with pytest.raises(SecretsError) as error:
        read(text)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


POLICIES: dict[str, Policy | None] = {
    "etcd/root": Policy(),
    "etcd/hex": Policy(alphabet="hex"),
    "etcd/base64": Policy(alphabet="base64"),
    "etcd/key": Policy(kind="ssh_key"),
    "pki/root_key": None,
}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "etcd/rot",
            "x",
            "etcd/rot: no secret of this site. Known are etcd/base64, etcd/hex, etcd/key, etcd/root, pki/",
        ),
        ("etcd/root", "hunter2\n", "etcd/root: holds a line end or another control character"),
        ("etcd/hex", "hunter2", "etcd/hex: has to be of hexadecimal digits"),
        ("etcd/base64", "hunter2", "etcd/base64: has to be base64"),
        ("etcd/key", "hunter2", "etcd/key: has to be a private key of SSH"),
        ("pki/root_key", "hunter2", "pki/root_key: has to be in PEM form"),
    ],
)
def test_values_that_dont_fit(path: str, value: str, said: str) -> None:
    with pytest.raises(SecretsError) as error:
        check({path: value, "etcd/root": value}, POLICIES, "old.yml")
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_values_that_fit() -> None:
    values = {
        "etcd/root": "short",  # in use, so it is taken
        "etcd/hex": "0aF",
        "etcd/base64": "aHVudGVyMg==",
        "etcd/key": ssh_private_key(bytes(32)),
        "pki/root_key": "-----BEGIN PRIVATE KEY-----\n",
    }
    check(values, POLICIES, "old.yml")


def test_what_an_import_makes() -> None:
    policies: dict[str, Any] = {f"shop/{name}": Policy(length=40) for name in ("new", "same", "other")}
    same = Secret(current="same", created="x", policy=Policy())
    held = {"same": same, "other": Secret(current="old", created="x", slot="b"), "left": same}
    values = {"new": "one", "same": "same", "other": "two"}
    assert take_in(held, "shop", values, policies, NOW) == (["shop/new"], ["shop/other"])
    stamp = "2026-11-21T09:00:00Z"
    assert held == {
        "new": Secret(current="one", created=stamp, policy=Policy(length=40)),
        "same": same,
        "other": Secret(current="two", created=stamp, policy=Policy(length=40), slot="b"),
        "left": same,
    }


def test_a_rotation_under_way_stays_as_it_is() -> None:
    journal = Journal("1", "added", "x", "x", "ci3:4711", "x", 7)
    held = {"app": Secret(current="old", next="new", created="x", journal=journal)}
    with pytest.raises(SecretsError, match=r"shop/app: its rotation is under way \('added' done\); finish or abort it"):
        take_in(held, "shop", {"app": "other"}, {"shop/app": Policy()}, NOW)
