# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_kv
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_kv import Settings, VaultKV
from tests.kv import store
from tests.kv.contract import *  # noqa: F403 - its tests run here against the stand-in
from tests.kv.contract import ONE, put, refused
from tests.kv.fake import FakeKV

URL = "https://vault.internal:8200"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeKV]:
    fake = FakeKV(tmp_path)
    yield fake
    fake.stop()


@pytest.mark.parametrize(("lose", "kept"), [("before", False), ("after", True)])
def test_a_write_without_an_answer(server: FakeKV, lose: str, kept: bool) -> None:
    put(server, root=ONE)
    run = store(server)
    said = ""
    try:
        with run.transaction("etcd") as held:
            held["new"] = ONE
            server.lose = lose
    except SecretsError as error:
        said = str(error)
    assert said == "" if kept else said.endswith("Nothing was written; run again")
    assert ("new" in store(server).read("etcd")) == kept


def test_a_server_whose_disk_is_full(server: FakeKV) -> None:
    put(server, root=ONE)
    server.fail = 500
    with refused("no space left on device. Nothing was written; run again"), store(server).transaction("etcd") as held:
        held["new"] = ONE
    assert store(server).read("etcd") == {"root": ONE}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"root": "hunter2"}, "etcd at https://127.0.0.1:"),
        ({"root": {"created": "hunter2"}}, "root.current: has to be a text that is not empty"),
        ({"Root": {"current": "hunter2"}}, "'Root' is no name of a secret; correct the entry"),
        ("hunter2", "the answer is none of a key-value engine of version 2"),
    ],
)
def test_an_entry_that_somebody_spoiled(server: FakeKV, content: Any, said: str) -> None:
    server.entries["holdfast/lab/etcd"] = [content]
    with refused(said) as caught:
        store(server).read("etcd")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "secrets_kv: has to be a mapping with url"),
        ({"url": URL, "token": "x"}, "secrets_kv: unknown key 'token'; known are url, path, mount, ca_file, namespace"),
        ({}, "secrets_kv.url: has to be https://host:port"),
        ({"url": "vault:8200"}, "secrets_kv.url: has to be https://host:port"),
        ({"url": "http://vault.internal:8200"}, "http:// only to this machine"),
        ({"url": URL, "mount": "/"}, "secrets_kv.mount: has to be a text that is not empty"),
        ({"url": URL, "mount": 1}, "secrets_kv.mount: has to be a text"),
    ],
)
def test_mistakes_in_the_settings(data: Any, said: str) -> None:
    with refused(said):
        Settings.of(data, "lab")


def test_the_settings_defaults() -> None:
    assert Settings.of({"url": URL}, "north") == Settings(url=URL, path="holdfast/north", mount="secret")
    assert Settings.of({"url": "http://127.0.0.1:8100"}, "north").url == "http://127.0.0.1:8100"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("token: hunter2", 0o640, "others can read it (mode 640); chmod 600"),
        ("token: [hunter2", 0o600, "is no valid YAML"),
        ("hunter2", 0o600, "has to be a mapping with token, or with role_id and secret_id"),
        ("role_id: hunter2", 0o600, "has to be a mapping with token, or with role_id and secret_id"),
        (None, 0, "can't be read: No such file or directory"),
    ],
)
def test_mistakes_in_the_credentials(tmp_path: Path, text: str | None, mode: int, said: str) -> None:
    file = tmp_path / "credentials"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with refused(said) as caught:
        VaultKV(Settings.of({"url": URL, "credentials_file": str(file)}, "lab"), {}).owners()
    assert "hunter2" not in str(caught.value)


def test_the_namespace_is_asked_for(server: FakeKV) -> None:
    assert store(server, namespace="team").owners() == []
    assert server.namespaces == {"team"}


@pytest.mark.parametrize("environment", [{}, {"VAULT_ROLE_ID": "x"}, {"VAULT_TOKEN": ""}])
def test_no_credentials(environment: dict[str, str]) -> None:
    with refused("there are no credentials; set secrets_kv.credentials_file, or VAULT_TOKEN, or VAULT_ROLE_ID and"):
        VaultKV(Settings.of({"url": URL}, "lab"), environment).read("etcd")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vault_kv, "HVAC_PROBLEM", "No module named 'hvac'")
    with refused("secrets_backend: kv needs the Python library hvac: No module named 'hvac'; pip install hvac"):
        VaultKV(Settings.of({"url": URL}, "lab"), {"VAULT_TOKEN": "x"}).read("etcd")
