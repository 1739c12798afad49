# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets and certificates on a lab's hosts, over SSH, with everything that goes wrong in a real run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
LAB = "pki-test"
HOME = CHECKOUT / ".lab" / LAB
BIN = Path(sys.executable).parent
DIRECTORY = "/etc/holdfast/pki/etcd"
CERTIFICATES = {
    "etcd": {"owner": "nobody", "group": "nogroup", "names": ["etcd"]},
    "peer": {"owner": "nobody", "group": "nogroup", "usage": ["server", "client"]},
}


@dataclass(frozen=True)
class Run:
    """How a run of site.yml ended. results: {task: {host: result}}."""

    status: int
    output: str
    results: Mapping[str, Mapping[str, Any]]

    def certificate(self, host: str = "data-a1") -> Any:
        return self.results["Issue the certificates"][host]

    def reasons(self, host: str = "data-a1") -> dict[str, str]:
        return {name: entry["reason"] for name, entry in self.certificate(host)["certificates"].items()}

    @property
    def changed(self) -> bool:
        return any(result.get("changed") for hosts in self.results.values() for result in hosts.values())


def environment(**more: str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MAKE"))},
        "HOLDFAST_LAB": LAB,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        **more,
    }


def command(*arguments: str, **variables: Any) -> list[str]:
    extra = json.dumps({"test_certificates": CERTIFICATES, **variables})
    return [str(BIN / "ansible-playbook"), str(Path(__file__).parent / "site.yml"), "-e", extra, *arguments]


def play(*arguments: str, fails: bool = False, **variables: Any) -> Run:
    """Run site.yml on the lab and return what its tasks said."""
    done = subprocess.run(
        command(*arguments, **variables),
        cwd=CHECKOUT,
        env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    tasks = [task for played in json.loads(done.stdout)["plays"] for task in played["tasks"]]
    return Run(done.returncode, done.stdout + done.stderr, {task["task"]["name"]: task["hosts"] for task in tasks})


def on(host: str, script: str, *, fails: bool = False) -> str:
    """Output of a root shell's script on a host."""
    done = subprocess.run(
        ["docker", "exec", "-i", f"{LAB}-{host}", "sh", "-eu"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout.strip()


def fingerprint(host: str, file: str) -> str:
    return on(host, f"sha256sum {DIRECTORY}/{file}").split()[0]


def assert_pair(host: str, name: str) -> None:
    """Key and certificate on disk belong together, and the chain leads to the root beside it."""
    on(
        host,
        f"""cd {DIRECTORY}
        openssl pkey -in {name}.key -pubout > /tmp/key.pub
        openssl x509 -in {name}.crt -noout -pubkey | cmp - /tmp/key.pub
        openssl verify -x509_strict -CAfile ca.crt -untrusted {name}.crt {name}.crt
        test "$(stat -c '%U:%G %a' {name}.key)" = 'nobody:nogroup 600'
        test "$(stat -c '%U:%G %a' {name}.crt)" = 'root:root 644'
        test "$(ls -A | grep -c new$)" = 0""",
    )


def stored() -> list[str]:
    """Every value in the store; a key or certificate counts by each of its lines.

    The first line of an OpenSSH key says how it is stored, as every other one's does (PROTOCOL.key of OpenSSH).
    """
    values = []
    for path in sorted((HOME / "secrets").glob("*.yml")):
        view: list[str | Path] = [BIN / "ansible-vault", "view", "--vault-password-file", HOME / "vault-password", path]
        content = yaml.safe_load(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
        for name, entry in content.items():
            lines = entry["current"].splitlines()
            if not name.endswith("_certificate"):
                values += [line for line in lines if "-----" not in line and not line.startswith("b3BlbnNzaC1rZXkt")]
    return values


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    for verb in ("lab-down", "lab"):
        subprocess.run(["make", verb, f"LAB={LAB}"], cwd=CHECKOUT, env=environment(), check=True)
    yield
    subprocess.run(["make", "lab-down", f"LAB={LAB}"], cwd=CHECKOUT, env=environment(), check=True)


@pytest.fixture
def fresh() -> None:
    """A site without secrets, hosts without certificates."""
    shutil.rmtree(HOME / "secrets", ignore_errors=True)
    for host in ("data-a1", "data-b1", "data-c1"):
        on(host, "rm -rf /etc/holdfast /root/secret")


@pytest.fixture
def issued(fresh: None) -> None:
    """The same after one run."""
    play()


def test_check_mode_then_a_run_then_nothing_to_do(fresh: None) -> None:
    dry = play("--check")
    assert dry.changed
    assert not (HOME / "secrets").exists()
    on("data-a1", "test ! -e /etc/holdfast")
    digests = {result["ansible_facts"]["test_digest"] for result in dry.results["Read a secret on every host"].values()}
    assert len(digests) == 1, "a placeholder is the same for all hosts of a run"

    first = play()
    made = next(iter(first.results["Create the secrets that are missing"].values()))
    assert made["created"] == next(iter(dry.results["Create the secrets that are missing"].values()))["created"]
    assert {"etcd/root", "pki/root_key", "postgresql/superuser"} <= set(made["created"])
    assert len(first.results["Create the secrets that are missing"]) == 1, "once, not once for each host"
    assert first.certificate()["round_trips"] == 2
    for host in ("data-a1", "data-b1", "data-c1"):
        for name in CERTIFICATES:
            assert_pair(host, name)

    second = play()
    assert not second.changed
    assert second.certificate()["round_trips"] == 1
    assert not play("--check", "--diff").changed
    assert not play("--limit", "data-b1").changed
    assert (HOME / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (HOME / "secrets").iterdir()} == {0o600}


def test_members_talk_over_tls_and_refuse_strangers(issued: None) -> None:
    """Both sides verify: names by the server's certificate, the client by the site's CA."""
    tls = f"-CAfile {DIRECTORY}/ca.crt -verify_return_error -cert {DIRECTORY}/etcd.crt -cert_chain {DIRECTORY}/etcd.crt"
    server = f"openssl s_server {tls} -key {DIRECTORY}/etcd.key -accept 9443 -Verify 2 -www"
    on("data-b1", f"cd /tmp; nohup {server} > log 2>&1 & sleep 1")
    try:
        client = f"echo | timeout 10 openssl s_client -connect data-b1:9443 {tls} -key {DIRECTORY}/etcd.key"
        for name in ("data-b1.lab.internal", "data-b1", "etcd.lab.internal", "localhost"):
            assert "Verify return code: 0 (ok)" in on("data-a1", f"{client} -verify_hostname {name}")
        address = on("data-b1", "hostname -I").split()[0]
        assert "Verify return code: 0 (ok)" in on("data-a1", f"{client} -verify_ip {address}")
        on("data-a1", f"{client} -verify_hostname data-a1", fails=True)
        stranger = f"openssl s_client -connect data-b1:9443 -CAfile {DIRECTORY}/ca.crt"
        assert "certificate required" in on("data-a1", f"(echo GET /; sleep 1) | timeout 10 {stranger} 2>&1 || true")
    finally:
        on("data-b1", "pkill -x openssl")


def test_renewal(issued: None) -> None:
    """On a busy machine a certificate of half a minute may have expired before the run that should renew it in time."""
    late = {"two thirds of its life are over", "expired"}
    key, old = fingerprint("data-a1", "etcd.key"), fingerprint("data-a1", "etcd.crt")
    assert set(play(test_lifetime="30s").reasons().values()) == {"lives longer than wanted"}
    short = fingerprint("data-a1", "etcd.crt")
    assert short != old
    time.sleep(21)
    assert set(play("--check", test_lifetime="30s").reasons().values()) <= late
    assert fingerprint("data-a1", "etcd.crt") == short
    assert set(play(test_lifetime="30s").reasons().values()) <= late
    time.sleep(31)
    assert set(play().reasons().values()) == {"expired"}
    assert fingerprint("data-a1", "etcd.key") == key
    assert_pair("data-a1", "etcd")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out etcd.key", "made for another key"),
        # A certificate whose key is lost goes before the new key comes.
        ("rm etcd.key", "missing"),
        ("echo broken > etcd.key", "missing"),
        ("rm etcd.crt", "missing"),
        ("head -c 300 etcd.crt > x; mv x etcd.crt", "unreadable"),
        ("cp /etc/shadow etcd.crt", "unreadable"),
        ("cp peer.crt etcd.crt", "made for another key"),
        ("ln -sf /nowhere etcd.crt", "missing"),
    ],
)
def test_what_is_broken_on_one_host_is_mended(script: str, reason: str) -> None:
    play()
    on("data-a1", f"cd {DIRECTORY}; {script}")
    mended = play()
    assert mended.reasons() == {"etcd": reason, "peer": ""}
    assert mended.reasons("data-b1") == {"etcd": "", "peer": ""}
    assert_pair("data-a1", "etcd")
    assert not play().changed


def test_a_unit_that_holds_the_old_certificate_is_reloaded(fresh: None) -> None:
    """A unit that bundle and member run notes its reloads; a run that ends after the certificate does not lose one."""
    effects = {"test_effects": {"pki-test.service": "reload"}}
    variables = {"test_unit": True, **effects}
    on("data-a1", "rm -rf /var/tmp/reloads /var/lib/holdfast/bundles/etcd")
    limit = ("--limit", "data-a1")
    play(*limit, **variables)
    on("data-a1", "systemctl is-active pki-test; test ! -e /var/tmp/reloads")
    assert not play(*limit, **variables).changed
    on("data-a1", f"rm {DIRECTORY}/etcd.crt")
    play(*limit, **effects)
    on("data-a1", "test ! -e /var/tmp/reloads")
    play(*limit, **variables)
    assert on("data-a1", "cat /var/tmp/reloads") == "reloaded"
    assert not play(*limit, **variables).changed
    assert on("data-a1", "cat /var/tmp/reloads") == "reloaded"


def test_names_and_usage_follow_the_declaration(issued: None) -> None:
    more = {**CERTIFICATES, "etcd": {**CERTIFICATES["etcd"], "names": ["etcd", "kv"], "usage": ["server"]}}
    run = play(test_certificates=more)
    assert run.reasons() == {"etcd": "lacks the names kv.lab.internal", "peer": ""}
    assert "DNS:kv.lab.internal" in on("data-a1", f"openssl x509 -in {DIRECTORY}/etcd.crt -noout -ext subjectAltName")
    back = play()
    assert back.reasons() == {"etcd": "has names that are not wanted: kv.lab.internal", "peer": ""}


def test_another_authority_replaces_everything(issued: None) -> None:
    (HOME / "secrets" / "pki.yml").unlink()
    run = play()
    assert set(run.reasons().values()) == {"issued by another CA"}
    assert f"{DIRECTORY}/ca.crt" in run.certificate()["paths"]
    assert_pair("data-a1", "etcd")


def test_the_root_key_may_go_offline(issued: None) -> None:
    path, password = HOME / "secrets" / "pki.yml", HOME / "vault-password"
    vault = [BIN / "ansible-vault"]
    subprocess.run([*vault, "decrypt", "--vault-password-file", password, path], check=True)
    content = yaml.safe_load(path.read_text())
    del content["root_key"]
    path.write_text(yaml.safe_dump(content))
    subprocess.run([*vault, "encrypt", "--vault-password-file", password, path], check=True)
    assert not play().changed
    on("data-a1", f"rm {DIRECTORY}/etcd.crt")
    assert play().reasons()["etcd"] == "missing"
    assert_pair("data-a1", "etcd")


def test_owner_and_openssl_may_come_later(fresh: None) -> None:
    later = {"etcd": {"owner": "not-yet", "group": "not-yet"}}
    bare = {"PATH": "/nowhere"}
    dry = play("--check", test_certificates=later, test_environment=bare)
    assert dry.certificate()["changed"]
    play()  # the CA is there, the host's check mode still has no key for this one
    dry = play("--check", test_certificates=later, test_environment=bare, test_directory="/etc/holdfast/later")
    assert dry.reasons() == {"etcd": "the host has no key yet"}
    failed = play(fails=True, test_certificates=later, test_directory="/etc/holdfast/later")
    assert "the key belongs to not-yet:not-yet, and this host has no such user or group" in failed.output
    on("data-a1", "test ! -e /etc/holdfast/later")
    failed = play(fails=True, test_environment=bare, test_directory="/etc/holdfast/later")
    assert "openssl" in failed.certificate()["msg"]
    assert "not installed on this host" in failed.certificate()["msg"]


def test_nothing_secret_is_shown_or_leaves_the_controller(fresh: None) -> None:
    """The values are looked for in the most talkative output, on the hosts, and in their journals."""
    outputs = []
    for arguments in (["--check", "--diff", "-vvv"], ["--diff", "-vvv"], ["--diff", "-vvv"]):
        done = subprocess.run(
            command(*arguments, test_copy=True),
            cwd=CHECKOUT,
            env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default"),
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout + done.stderr)
    values = stored()
    assert len(values) > 10
    for output in outputs:
        assert "etcd.crt: missing" in output or output is not outputs[1]
        assert not [number for number, value in enumerate(values) if value in output]
    on("data-a1", "test -s /root/secret; rm /root/secret")
    patterns = "\n".join(values)
    search = f"""cat > /tmp/patterns <<'END'\n{patterns}\nEND
    grep -rlFf /tmp/patterns /etc /root /home /var /run /opt 2>/dev/null && exit 1
    journalctl --no-pager | grep -cFf /tmp/patterns && exit 1
    rm /tmp/patterns"""
    on("data-a1", search)


def test_two_runs_at_once_agree(fresh: None) -> None:
    runs = [
        subprocess.Popen(
            command(test_extra={"shop": {name: {"length": 16}}}),
            cwd=CHECKOUT,
            env=environment(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    for run in runs:
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
    for host in ("data-a1", "data-b1", "data-c1"):
        assert_pair(host, "etcd")
    assert not play(test_extra={"shop": {"one": {"length": 16}, "two": {"length": 16}}}).changed


def test_a_run_killed_anywhere_goes_on(fresh: None) -> None:
    """SIGKILL to all of a run's processes, at twelve points from its start to its end; nothing is ever half there."""
    begin = time.monotonic()
    play()
    whole = time.monotonic() - begin
    on("data-a1", f"rm -rf {DIRECTORY}")
    shutil.rmtree(HOME / "secrets")
    for point in range(1, 13):
        run = subprocess.Popen(
            command(),
            cwd=CHECKOUT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(whole * point / 12)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        for host in ("data-a1", "data-b1", "data-c1"):
            on(
                host,
                f"""cd {DIRECTORY} 2>/dev/null || exit 0
                for c in *.crt; do test "$c" = '*.crt' || openssl x509 -in $c -noout; done
                for k in *.key; do test "$k" = '*.key' || openssl pkey -in $k -noout; done
                test -e etcd.crt || exit 0
                openssl pkey -in etcd.key -pubout > /tmp/k
                openssl x509 -in etcd.crt -noout -pubkey | cmp - /tmp/k""",
            )
        if point % 2:
            on("data-a1", f"rm -rf {DIRECTORY}")
        stored()
    play()
    for host in ("data-a1", "data-b1", "data-c1"):
        assert_pair(host, "etcd")
    assert not play().changed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: (HOME / "vault-password").write_text("wrong"), "none of the vault passwords opens it"),
        (lambda _: (HOME / "vault-password").unlink(), "secrets_vault_password_file: "),
        (lambda secrets: os.truncate(secrets / "etcd.yml", 300), "was cut off"),
        (lambda secrets: os.truncate(secrets / "etcd.yml", 0), "was cut off"),
        (lambda secrets: (secrets / "etcd.yml").write_text("root: {current: x}\n"), "is not an Ansible Vault file"),
    ],
)
def test_a_store_that_cant_be_used_stops_the_run_before_any_host(issued: None, spoil: Any, said: str) -> None:
    secrets, password = HOME / "secrets", (HOME / "vault-password").read_text()
    kept = {path.name: path.read_bytes() for path in secrets.iterdir()}
    try:
        spoil(secrets)
        spoilt = {path.name: path.read_bytes() for path in secrets.iterdir()}
        failed = play(fails=True)
        assert said in failed.output
        assert "Issue the certificates" not in failed.results
        assert {path.name: path.read_bytes() for path in secrets.iterdir()} == spoilt
        listing = [str(BIN / "ansible-inventory"), "--graph"]
        subprocess.run(listing, cwd=CHECKOUT, env=environment(), capture_output=True, check=True)
    finally:
        (HOME / "vault-password").write_text(password)
        for name, data in kept.items():
            (secrets / name).write_bytes(data)
    assert not play().changed


def test_a_full_disk_on_the_controller(issued: None) -> None:
    secrets = HOME / "secrets"
    kept = {path.name: path.read_bytes() for path in secrets.iterdir() if path.suffix == ".yml"}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", secrets], check=True)
    try:
        for name, data in kept.items():
            (secrets / name).write_bytes(data)
        with contextlib.suppress(OSError), (secrets / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1024))
        failed = play(fails=True, test_extra={"etcd": {"another": {"length": 4096}}})
        assert "etcd.yml: can't be written, what was there is unchanged: No space left on device" in failed.output
        assert {path.name: path.read_bytes() for path in secrets.iterdir() if path.suffix == ".yml"} == kept
        assert not list(secrets.glob(".*.tmp"))
        (secrets / "ballast").unlink()
        assert play(test_extra={"etcd": {"another": {"length": 4096}}}).changed
    finally:
        subprocess.run(["umount", secrets], check=True)


def test_a_full_disk_on_the_host(issued: None) -> None:
    script = f"""cp -a {DIRECTORY} /tmp/kept; mount -t tmpfs -o size=32k tmpfs {DIRECTORY}
    cp -a /tmp/kept/. {DIRECTORY}; rm -r /tmp/kept; cat /dev/zero > {DIRECTORY}/ballast || true"""
    on("data-a1", script)
    try:
        before = [fingerprint("data-a1", file) for file in ("etcd.key", "etcd.crt", "ca.crt")]
        failed = play(fails=True, test_lifetime="60d")
        assert "No space left on device" in failed.certificate()["msg"]
        assert [fingerprint("data-a1", file) for file in ("etcd.key", "etcd.crt", "ca.crt")] == before
        on("data-a1", f"rm {DIRECTORY}/ballast")
        assert play(test_lifetime="60d").reasons()["etcd"] == "lives longer than wanted"
        assert_pair("data-a1", "etcd")
    finally:
        on("data-a1", f"umount {DIRECTORY}")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"test_secret": "etcd/rot"}, "nothing declares it: add secrets.rot to roles/etcd/meta/service.yml"),
        ({"test_secret": "etcd"}, "'etcd' is no secret; write <owner>/<name>"),
        ({"test_certificates": {"ca": {}}}, "certificates.ca: use lower-case letters"),
        ({"test_effects": {"a.service": "stop"}}, "effects.a.service: is 'stop', it has to be reload or restart"),
        ({"test_lifetime": "soon"}, "lifetime: 'soon' is not a span of time"),
        ({"test_extra": {"etcd": {"root": {}}}}, "extra.etcd.root: roles/etcd/meta/service.yml declares it already"),
        ({"test_extra": {"etcd": {"x": {"size": 1}}}}, "extra.etcd.x: unknown key 'size'"),
    ],
)
def test_mistakes_are_named(variables: dict[str, Any], said: str) -> None:
    assert said in play(fails=True, **variables).output
