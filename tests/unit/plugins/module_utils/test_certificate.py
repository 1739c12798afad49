# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_store, _certificate
from ansible_collections.holdfast.platform.plugins.module_utils._certificate import Task, converge
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
CA = "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----\n"
CHAIN = "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n"

# The files of certificates and the CA are root's: these cases run as root, as the module does.
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, as on a managed host")


def call(directory: Path, *, check: bool = False, **payload: Any) -> dict[str, Any]:
    payload = {"certificates": {"etcd": ME}, "authority": CA, **payload}
    if payload.get("chains") and not (directory / "etcd.key").exists():
        call(directory)  # a chain is only ever made for a key that is there
    return converge(Task.of(str(directory), payload), check=check)


def files(directory: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in sorted(directory.iterdir())}


def public(*command: object, text: str = "") -> str:
    done = subprocess.run(["openssl", *map(str, command)], input=text, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_first_run_and_a_second(tmp_path: Path) -> None:
    directory = tmp_path / "holdfast" / "pki" / "etcd"
    first = call(directory)
    assert first["paths"] == [str(directory), f"{directory}/ca.crt", f"{directory}/etcd.key"]
    assert files(directory) == {"ca.crt": "0o644", "etcd.key": "0o600"}
    assert directory.stat().st_mode & 0o777 == 0o755
    request = first["certificates"]["etcd"]["request"]
    assert first["certificates"]["etcd"]["chain"] is None
    key = directory / "etcd.key"
    assert public("req", "-pubkey", "-noout", "-verify", text=request).startswith(public("pkey", "-in", key, "-pubout"))
    assert "NIST CURVE: P-256" in public("pkey", "-in", key, "-noout", "-text_pub")

    kept = key.read_bytes()
    second = call(directory, chains={"etcd": CHAIN})
    assert second["paths"] == [f"{directory}/etcd.crt"]
    assert second["certificates"]["etcd"]["chain"] == CHAIN
    third = call(directory)
    assert (third["changed"], third["paths"]) == (False, [])
    assert third["certificates"]["etcd"]["chain"] == CHAIN
    assert key.read_bytes() == kept
    assert files(directory) == {"ca.crt": "0o644", "etcd.crt": "0o644", "etcd.key": "0o600"}


def test_check_mode_on_an_empty_host(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    result = call(directory, check=True, certificates={"etcd": {"owner": "nobody-yet", "group": "nobody-yet"}})
    assert result["changed"]
    assert result["certificates"] == {"etcd": {"request": None, "chain": None}}
    assert not directory.exists()


def test_check_mode_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "pki"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(directory, check=True)["changed"]
    with pytest.raises(Failed, match=r"openssl .*not installed on this host"):
        call(directory)


def test_check_mode_says_what_a_run_does(tmp_path: Path) -> None:
    call(tmp_path, chains={"etcd": CHAIN})
    (tmp_path / "etcd.key").chmod(0o644)
    (tmp_path / "etcd.crt").chmod(0o600)
    before = files(tmp_path)
    dry = call(tmp_path, check=True, authority=CA + CA)
    assert files(tmp_path) == before
    assert dry["paths"] == call(tmp_path, authority=CA + CA)["paths"]
    assert len(dry["paths"]) == 3
    assert files(tmp_path) == {"ca.crt": "0o644", "etcd.crt": "0o644", "etcd.key": "0o600"}


def test_an_unknown_owner_changes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    slots = {"a": ME, "z": {"owner": "nobody-yet", "group": "root"}}
    with pytest.raises(Failed, match="certificate z: the key belongs to nobody-yet:root, and this host has no such"):
        call(directory, certificates=slots)
    assert not directory.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key.write_text(""),
        lambda key: key.write_text("not a key\n"),
        lambda key: key.write_bytes(b"\xff\xfe"),
        lambda key: key.write_text(key.read_text()[:80]),
        lambda key: (key.unlink(), key.symlink_to("/dev/null")),
        lambda key: (key.unlink(), key.symlink_to("nowhere")),
        lambda key: public("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:x", "-out", key),
    ],
)
def test_a_key_that_cant_be_used_is_made_anew(tmp_path: Path, spoil: Any) -> None:
    call(tmp_path)
    key = tmp_path / "etcd.key"
    spoil(key)
    dry = call(tmp_path, check=True)
    assert dry["paths"] == [str(key)]
    assert dry["certificates"]["etcd"]["request"] is None
    assert call(tmp_path)["paths"] == [str(key)]
    assert public("pkey", "-in", key, "-pubout")
    assert not key.is_symlink()
    assert files(tmp_path)["etcd.key"] == "0o600"


def test_several_certificates_in_one_call(tmp_path: Path) -> None:
    result = call(tmp_path, certificates={"b": ME, "a": ME})
    assert list(result["certificates"]) == ["a", "b"]
    assert result["certificates"]["a"]["request"] != result["certificates"]["b"]["request"]


def test_a_chain_that_is_no_text_is_reported_as_it_can_be(tmp_path: Path) -> None:
    call(tmp_path)
    (tmp_path / "etcd.crt").write_bytes(b"\xff\x00\xfe")
    assert "\ufffd" in call(tmp_path)["certificates"]["etcd"]["chain"]


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    directory.mkdir(mode=0o750)
    call(directory)
    assert directory.stat().st_mode & 0o777 == 0o750


def test_a_file_as_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("")
    with pytest.raises(OSError, match="pki"):
        call(tmp_path / "pki")


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of bundles, with `etcd` applied once."""
    root = tmp_path / "bundles"
    monkeypatch.setattr(_bundle_store, "ROOT", root)
    store = _bundle_store.Store("etcd", root)
    store.create()
    store.put_in_force({"generation": 1, "txid": "x", "made": []})
    store.write_pending({"other.service": "restart"})
    return root


@pytest.mark.parametrize(
    ("payload", "pending"),
    [
        ({}, {}),
        ({"chains": {"etcd": CHAIN + CHAIN}}, {"a.service": "reload", "b.service": "restart"}),
        ({"authority": CA + CA}, {"a.service": "reload", "b.service": "restart"}),
        ({"chains": {"etcd": CHAIN + CHAIN}, "bundle": "never-applied"}, {}),
        ({"chains": {"etcd": CHAIN + CHAIN}, "effects": {}}, {}),
    ],
)
def test_effects_wait_with_the_bundle(tmp_path: Path, bundles: Path, payload: Any, pending: dict[str, str]) -> None:
    directory = tmp_path / "pki"
    call(directory, chains={"etcd": CHAIN})
    payload = {"bundle": "etcd", "effects": {"a.service": "reload", "b.service": "restart"}, **payload}
    call(directory, check=True, **payload)
    assert _bundle_store.read_pending("etcd", bundles) == {"other.service": "restart"}
    call(directory, **payload)
    assert _bundle_store.read_pending("etcd", bundles) == {"other.service": "restart", **pending}
    assert not (bundles / "never-applied").exists()


def test_effects_are_noted_before_a_file_changes(
    tmp_path: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tmp_path / "pki", chains={"etcd": CHAIN})
    monkeypatch.setattr(_certificate, "_put", die)
    with pytest.raises(KeyboardInterrupt):
        call(tmp_path / "pki", chains={"etcd": CHAIN + CHAIN}, bundle="etcd", effects={"a.service": "reload"})
    assert _bundle_store.read_pending("etcd", bundles)["a.service"] == "reload"


def die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["_set_access", "_sync"])
@pytest.mark.parametrize("chains", [{}, {"etcd": CHAIN + CHAIN}])
def test_a_call_that_dies_leaves_what_the_next_one_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, chains: dict[str, str]
) -> None:
    """Nothing is ever half in its place: after a death between writing and renaming the old files are whole.

    A certificate whose key is gone goes before the new key comes: no other key ever lies beside it.
    """
    call(tmp_path, chains={"etcd": CHAIN})
    if not chains:
        (tmp_path / "etcd.key").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(_certificate, where, die)
        with pytest.raises(KeyboardInterrupt):
            call(tmp_path, chains=chains)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".new"}
    assert after.items() <= before.items()
    assert before.keys() - after.keys() <= (set() if chains else {"etcd.crt"})
    call(tmp_path)
    call(tmp_path, chains={"etcd": CHAIN + CHAIN})
    assert files(tmp_path) == {"ca.crt": "0o644", "etcd.crt": "0o644", "etcd.key": "0o600"}


def test_a_chain_for_a_key_that_is_gone_is_not_put_beside_a_new_one(tmp_path: Path) -> None:
    call(tmp_path, chains={"etcd": CHAIN})
    (tmp_path / "etcd.key").write_text("broken")
    with pytest.raises(Failed, match="run again"):
        call(tmp_path, chains={"etcd": CHAIN + CHAIN})
    assert (tmp_path / "etcd.crt").read_text() == CHAIN
