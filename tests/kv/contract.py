# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to hold between the backend and any key-value server; modules of tests import it, and give `server`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import MutableMapping
from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_kv
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    ConflictError,
    Journal,
    Policy,
    Secret,
    SecretsError,
    update,
)

from . import DATA, PATH, Server, store

ONE = Secret(current="hunter2", created="2026-11-21T09:00:00Z", policy=Policy())
ROTATING = Secret(
    current="new",
    previous="old",
    created="2026-11-21T09:00:00Z",
    policy=Policy(rotation="alternate", lifetime="90d"),
    slot="b",
    journal=Journal(
        "1", "switched", "2026-11-21T09:00:00Z", "2026-11-01T09:00:00Z", "ci3:4711", "2026-11-21T09:10:00Z", 7
    ),
)


def refused(said: str) -> pytest.RaisesExc[SecretsError]:
    return pytest.raises(SecretsError, match=re.escape(said))


def put(server: Server, **secrets: Secret) -> None:
    with store(server).transaction("etcd") as held:
        held.update(secrets)


def test_what_was_written_is_read(server: Server) -> None:
    assert store(server).read("etcd") == {}
    assert store(server).owners() == []
    put(server, root=ONE, app=ROTATING)
    with store(server).transaction("shop") as held:
        held["key"] = ONE
    assert store(server).read("etcd") == {"root": ONE, "app": ROTATING}
    assert store(server).owners() == ["etcd", "shop"]
    store(server).remove("etcd")
    assert store(server).read("etcd") == {}
    put(server, root=ONE)  # and may come back
    assert store(server).read("etcd") == {"root": ONE}


def test_an_exception_in_the_block_changes_nothing(server: Server) -> None:
    put(server, root=ONE)
    with pytest.raises(RuntimeError), store(server).transaction("etcd") as held:
        held["other"] = ONE
        raise RuntimeError
    assert store(server).read("etcd") == {"root": ONE}


def test_the_second_of_two_writers_is_told(server: Server) -> None:
    put(server, root=ONE)
    slow = store(server)
    with (
        pytest.raises(ConflictError, match="another run changed it meanwhile"),
        slow.transaction("etcd") as held,
    ):
        held["slow"] = ONE
        put(server, fast=ONE)
    assert store(server).read("etcd") == {"root": ONE, "fast": ONE}


@pytest.mark.parametrize("there", [True, False])
def test_the_second_of_two_writers_repeats(server: Server, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    if there:
        put(server, root=ONE)
    seen = []

    def change(held: MutableMapping[str, Secret]) -> str:
        seen.append(sorted(held))
        if len(seen) == 1:
            put(server, fast=ONE)
        held["slow"] = ONE
        return "done"

    assert update(store(server), "etcd", change) == "done"
    assert seen[1] == sorted({"fast", *seen[0]})
    assert store(server).read("etcd").keys() == {"fast", "slow", *seen[0]}


def test_a_run_asks_once_and_knows_what_it_changed(server: Server, tmp_path: Path) -> None:
    put(server, root=ONE)
    run, token = store(server), server.token(DATA)
    before = server.asked()
    assert run.read("etcd") == {"root": ONE}
    for _ in range(3):  # as every task and every worker opens it anew
        assert _vault_kv.VaultKV(run.settings, {"VAULT_TOKEN": token}).read("etcd") == {"root": ONE}
    assert server.asked() - before == 1
    old = dict(_vault_kv._cache)
    with _vault_kv.VaultKV(run.settings, {"VAULT_TOKEN": token}).transaction("etcd") as held:
        held["new"] = ONE
    # A worker that changes something ends; the next one is forked from a process that knows the old state.
    _vault_kv._cache.clear()
    _vault_kv._cache.update(old)
    before = server.asked()
    assert _vault_kv.VaultKV(run.settings, {}).read("etcd") == {"root": ONE, "new": ONE}
    assert server.asked() == before
    (file,) = Path(str(constants.DEFAULT_LOCAL_TMP)).glob("holdfast-*")
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" not in file.read_bytes()


def test_approle(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "approle"
    file.write_text(json.dumps(dict(server.role())))
    file.chmod(0o600)
    put(server, root=ONE)
    run = store(server, "", credentials_file=str(file))
    assert run.read("etcd") == {"root": ONE}
    server.revoke()  # its time is over, in the middle of the run
    assert run.owners() == ["etcd"]
    file.write_text(json.dumps({**server.role(), "secret_id": "wrong"}))
    with refused("AppRole refuses role_id and secret_id: invalid"):
        store(server, "", credentials_file=str(file)).read("etcd")


def test_a_wrong_token(server: Server) -> None:
    with refused("permission denied. The token is not valid, or not any more. Nothing was changed"):
        store(server, "wrong").read("etcd")


def test_a_policy_that_is_too_narrow(server: Server) -> None:
    put(server, root=ONE)
    token = server.token([f"secret/data/{PATH}/other"])
    said = f"The token is valid, its policies don't allow this: secret/data/{PATH}/* needs create, read and update"
    with refused(said):
        store(server, token).read("etcd")
    with refused(said):
        store(server, token).owners()


@pytest.mark.parametrize(
    ("mount", "said"),
    [("nowhere", "at 'nowhere' of https://127.0.0.1:"), ("old", "but kv, or one of version 1; `vault secrets enable")],
)
def test_a_wrong_mount(server: Server, mount: str, said: str) -> None:
    with refused(said):
        store(server, server.token(["*"]), mount=mount).read("etcd")
    with refused(said), store(server, server.token(["*"]), mount=mount).transaction("etcd") as held:
        held["root"] = ONE


def test_a_deleted_entry_is_no_empty_one(server: Server) -> None:
    put(server, root=ONE)
    server.delete(f"{PATH}/etcd")
    with refused("version 1 was deleted; nothing was changed. Bring it back with `vault kv undelete -mount=secret"):
        store(server).read("etcd")
    with refused("version 1 was deleted"), store(server).transaction("etcd"):
        pass


def test_a_certificate_that_nobody_vouches_for(server: Server) -> None:
    _vault_kv._cache.clear()
    token = server.token(DATA)
    run = _vault_kv.VaultKV(_vault_kv.Settings.of({"url": server.url}, "lab"), {"VAULT_TOKEN": token})
    with refused("the server's certificate is not one that secrets_kv.ca_file vouches for"):
        run.read("etcd")


def test_a_sealed_server(server: Server) -> None:
    put(server, root=ONE)
    run = store(server)
    server.seal()
    with refused("the server is sealed, or can't work; `vault status` tells"):
        run.read("etcd")


def test_a_server_that_goes_away_in_the_middle(server: Server) -> None:
    put(server, root=ONE)
    run = store(server)
    with refused("It went away while the entry was written: "), run.transaction("etcd") as held:
        held["new"] = ONE
        server.stop()
    with refused("the server does not answer: Connection refused"):
        run.owners()
