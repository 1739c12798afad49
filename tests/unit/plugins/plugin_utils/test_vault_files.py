# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles

ONE = Secret(current="hunter2", created="2026-11-21T09:00:00Z")


def store(directory: Path, word: str | None = "sesame", **options: float) -> VaultFiles:
    loader = DataLoader()
    if word:
        loader.set_vault_secrets([("default", VaultSecret(word.encode()))])
    return VaultFiles(directory, Passwords(loader), **options)


def put(directory: Path, **secrets: Secret) -> Path:
    with store(directory).transaction("etcd") as held:
        held.update(secrets)
    return directory / "etcd.yml"


def encrypted(text: str) -> bytes:
    return bytes(VaultLib([("default", VaultSecret(b"sesame"))]).encrypt(text))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    directory = tmp_path / "site" / "secrets"
    assert store(directory).read("etcd") == {}
    path = put(directory, root=ONE)
    assert store(directory).read("etcd") == {"root": ONE}
    assert store(directory).read("other") == {}
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")
    assert b"hunter2" not in path.read_bytes()


def test_ansible_vault_opens_the_file(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    password = tmp_path / "password"
    password.write_text("sesame\n")
    program = Path(sys.executable).with_name("ansible-vault")
    done = subprocess.run(
        [program, "view", "--vault-password-file", password, path], capture_output=True, text=True, check=True
    )
    assert "current: hunter2" in done.stdout


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    before = path.stat()
    put(tmp_path, root=ONE)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def test_an_exception_in_the_block_changes_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), store(tmp_path).transaction("etcd") as held:
        held["other"] = ONE
        raise RuntimeError
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "etcd.yml"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (b"", "was cut off, nothing is left of it"),
        (b"\n", "was cut off, nothing is left of it"),
        (lambda data: data[:10], "is not an Ansible Vault file"),
        (lambda data: data[:-5], "was cut off, its last line has no end"),
        (lambda data: data[: data.index(b"\n") + 1], "was cut off or altered"),
        (lambda data: b"\n".join(data.split(b"\n")[:3]) + b"\n", "was cut off or altered"),
        (lambda data: b"\n".join([*data.split(b"\n")[:-2], b""]), "was cut off or altered"),
        (lambda data: data[:-2] + b"z\n", "was cut off or altered"),
        (b"root: {current: hunter2}\n", "is not an Ansible Vault file"),
        (encrypted("root: {current: hunter2"), "opens, but is no valid YAML (line "),
        (encrypted("- hunter2\n"), "opens, but is no mapping of secret names"),
        (encrypted("root: hunter2\n"), "root: is not a mapping with the key 'current'"),
        (encrypted("BAD NAME: {current: hunter2}\n"), "'BAD NAME' is no name of a secret"),
    ],
)
def test_a_spoiled_file_is_named_and_kept(tmp_path: Path, spoil: bytes | Callable[[bytes], bytes], said: str) -> None:
    path = put(tmp_path, **{f"name{number}": ONE for number in range(5)})
    data = spoil if isinstance(spoil, bytes) else spoil(path.read_bytes())
    path.write_bytes(data)
    with pytest.raises(SecretsError) as reading:
        store(tmp_path).read("etcd")
    with pytest.raises(SecretsError) as writing, store(tmp_path).transaction("etcd") as held:
        held["root"] = ONE
    for error in (reading, writing):
        assert str(error.value).startswith(f"{path}: ")
        assert said in str(error.value)
        assert "hunter2" not in str(error.value)
    assert path.read_bytes() == data


def test_every_cut_is_an_error_and_never_an_empty_store(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(SecretsError):
            store(tmp_path).read("etcd")


def test_wrong_password(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    before = path.read_bytes()
    wrong = store(tmp_path, "open barley")
    with pytest.raises(SecretsError, match="none of the vault passwords opens it"):
        wrong.read("etcd")
    with pytest.raises(SecretsError, match="none of the vault passwords opens it"), wrong.transaction("etcd") as held:
        held["other"] = ONE
    assert path.read_bytes() == before


def test_no_password(tmp_path: Path) -> None:
    put(tmp_path, root=ONE)
    without = store(tmp_path, None)
    with pytest.raises(SecretsError, match="there is no vault password; give --vault-password-file"):
        without.read("etcd")
    with pytest.raises(SecretsError, match="there is no vault password"), without.transaction("new") as held:
        held["root"] = ONE
    assert not (tmp_path / "new.yml").exists()


def test_password_file_comes_before_the_passwords_of_the_run(tmp_path: Path) -> None:
    directory, password = tmp_path / "secrets", tmp_path / "password"
    password.write_text("#!/bin/sh\necho mine\n")
    password.chmod(0o700)
    loader = DataLoader()
    loader.set_vault_secrets([("prod", VaultSecret(b"of the run"))])
    both = VaultFiles(directory, Passwords(loader, str(password)))
    with both.transaction("etcd") as held:
        held["root"] = ONE
    assert store(directory, "mine").read("etcd") == {"root": ONE}
    with pytest.raises(SecretsError, match=r"secrets_vault_password_file: .*not found"):
        Passwords(loader, str(tmp_path / "none")).library(directory)


def test_a_file_keeps_the_password_that_opened_it(tmp_path: Path) -> None:
    loader = DataLoader()
    loader.set_vault_secrets([("prod", VaultSecret(b"of prod"))])
    labelled = VaultFiles(tmp_path, Passwords(loader))
    with labelled.transaction("etcd") as held:
        held["root"] = ONE
    loader.set_vault_secrets([("first", VaultSecret(b"another")), ("prod", VaultSecret(b"of prod"))])
    with VaultFiles(tmp_path, Passwords(loader)).transaction("etcd") as held:
        held["second"] = ONE
    assert (tmp_path / "etcd.yml").read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert store(tmp_path, "of prod").read("etcd").keys() == {"root", "second"}


def _add(directory: Path, names: list[str]) -> None:
    for name in names:
        with store(directory, lock_wait=60).transaction("etcd") as held:
            held[name] = ONE


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    names = [[f"{letter}{number}" for number in range(15)] for letter in "ab"]
    writers = [context.Process(target=_add, args=(tmp_path, part)) for part in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert store(tmp_path).read("etcd").keys() == {*names[0], *names[1]}


HOLD = """
import sys, time
from pathlib import Path
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_files
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret
loader = DataLoader()
loader.set_vault_secrets([("default", VaultSecret(b"sesame"))])
store = _vault_files.VaultFiles(Path(sys.argv[1]), _vault_files.Passwords(loader))
step = sys.argv[2]
def stop(*args):
    print("here", flush=True)
    time.sleep(60)
if step == "sync":
    _vault_files.os.fsync = stop          # the new file is written, not yet in its place
if step == "rename":
    Path.replace = stop
with store.transaction("etcd") as held:
    held["second"] = Secret(current="new", created="x")
    if step == "block":
        stop()
"""


def hold(directory: Path, step: str) -> subprocess.Popen[str]:
    """Start a writer that stops at a step of its transaction, and wait until it is there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), step], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    path = put(tmp_path, root=ONE)
    before = path.read_bytes()
    holder = hold(tmp_path, "block")
    try:
        start = time.monotonic()
        said = rf"another run is writing secrets \(process {holder.pid} on {re.escape(os.uname().nodename)}\)"
        with pytest.raises(SecretsError, match=said), store(tmp_path, lock_wait=0.3).transaction("etcd") as held:
            held["third"] = ONE
        assert 0.3 <= time.monotonic() - start < 5
        assert store(tmp_path).read("etcd") == {"root": ONE}  # readers never wait
    finally:
        holder.kill()
        holder.wait()
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["block", "sync", "rename"])
def test_kill_in_the_middle_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = put(tmp_path, root=ONE)
    before = path.read_bytes()
    writer = hold(tmp_path, step)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert path.read_bytes() == before
    leftovers = list(tmp_path.glob(".etcd.yml.*.tmp"))
    assert len(leftovers) == (0 if step == "block" else 1)
    assert all(b"new" not in leftover.read_bytes() for leftover in leftovers)
    put(tmp_path, second=ONE)  # the next writer gets the lock at once and clears up
    assert store(tmp_path).read("etcd") == {"root": ONE, "second": ONE}
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "etcd.yml"]


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk here; tests/integration/pki has a full file system."""
    path = put(tmp_path, root=ONE)
    before = path.read_bytes()
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); exec(sys.argv.pop(3))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "none", HOLD],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode != 0
    assert "can't be written, what was there is unchanged" in done.stderr
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "etcd.yml"]


def test_a_directory_that_cant_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretsError, match="can't be changed: "), store(tmp_path / "file" / "x").transaction("etcd"):
        pass


def test_a_file_is_decrypted_once(tmp_path: Path) -> None:
    put(tmp_path, root=ONE)
    assert store(tmp_path).read("etcd") == {"root": ONE}
    assert store(tmp_path, None).read("etcd") == {"root": ONE}  # from the cache: no password is asked for
    put(tmp_path, root=ONE, second=ONE)
    assert store(tmp_path).read("etcd").keys() == {"root", "second"}


def test_owners_and_their_removal(tmp_path: Path) -> None:
    assert store(tmp_path / "none").owners() == []
    put(tmp_path, root=ONE)
    (tmp_path / "Odd Name.yml").write_text("not ours")
    assert store(tmp_path).owners() == ["etcd"]
    store(tmp_path).remove("etcd")
    store(tmp_path).remove("etcd")
    assert store(tmp_path).read("etcd") == {}
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "Odd Name.yml"]
