# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, and the CA that signs them, are replaced under load: no connection drops, no operation fails."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._certificate_plan import read_plan
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import declared_certificates
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles
from tests.chaos.ledger import Entry
from tests.chaos.services.postgresql import PostgreSQL
from tests.chaos.unharmed import unharmed
from tests.integration.conftest import ROOT, RunningLab
from tests.rotations import PLAYBOOK, asked, rotate

APP, PKI = "app-c1", "/etc/holdfast/pki"
MEMBERS = ("data-a1", "data-b1", "data-c1")
LIFETIME = (0.5, 4.0)
#: Every port of a member with a certificate behind it; s_client's way to ask for TLS, and whose certificate is shown.
PORTS = {
    2379: ("", "etcd"),
    2380: ("", "etcd"),
    8008: ("", "postgresql"),
    5432: ("-starttls postgres", "postgresql"),
    6432: ("-starttls postgres", "postgresql"),
}

# Holds a connection of each kind open while certificates change, and uses it afterwards. Runs on a member.
HOLDER = r"""
import http.client, json, socket, ssl, sys, psycopg2
given = json.loads(sys.stdin.readline())
tls = ssl.create_default_context(cafile="/etc/holdfast/ca.crt")
tls.load_cert_chain("/etc/holdfast/pki/etcd/etcd.crt", "/etc/holdfast/pki/etcd/etcd.key")

def ask(connection):
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    return answer.status, connection.sock.fileno()

sql = psycopg2.connect(**given["sql"])
sql.autocommit = True
cursor = sql.cursor()
cursor.execute("SELECT pg_backend_pid()")
etcd = http.client.HTTPSConnection(given["to"], 2379, context=tls, timeout=60)
before = ask(etcd)
patroni = tls.wrap_socket(socket.create_connection((given["to"], 8008), 60), server_hostname=given["to"])
patroni.sendall(b"GET /liveness HTTP/1.0\r\n")  # a request that has begun
print("open", before[0], flush=True)
sys.stdin.readline()
cursor.execute("SELECT 2")
patroni.sendall(b"\r\n")
print(json.dumps([cursor.fetchone()[0], ask(etcd) == before, patroni.recv(100).decode().split("\r\n")[0]]), flush=True)
"""


def held(lab: RunningLab) -> dict[str, Secret]:
    """The parts of the CA in the lab's store."""
    loader = DataLoader()
    loader.set_vault_secrets([("default", VaultSecret((lab.lab.home / "vault-password").read_bytes().strip()))])
    return dict(VaultFiles(lab.lab.home / "secrets", Passwords(loader)).read(_site_ca.OWNER))


def age(lab: RunningLab, host: str, service: str) -> None:
    """Have the certificate of a host as it will be when two thirds of its life are over."""
    directory = f"{PKI}/{service}"
    request = lab.run(
        host,
        f"openssl req -new -subj / -key {directory}/{service}.key -config /dev/stdin",
        "[req]\ndistinguished_name=d\n[d]\n",
    )
    plan = read_plan(
        declared_certificates(service),
        hostname=host,
        domain="lab.internal",
        addresses=[lab.address(host)],
        lifetime="90d",
    )
    authority = _site_ca.authority_of(held(lab))
    assert authority
    now = datetime.now(UTC)
    young, issuer = x509.load_pem_x509_certificates(_pki.sign(request, authority, plan.wanted[service], now).encode())
    builder = x509.CertificateBuilder(
        young.issuer,
        young.subject,
        young.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=61),
        now + timedelta(days=29),
        list(young.extensions),
    )
    key = serialization.load_pem_private_key(authority.intermediate.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    old = builder.sign(key, hashes.SHA256())
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (old, issuer))
    lab.run(host, f"cat > {directory}/{service}.crt", chain.decode())


def serials(lab: RunningLab) -> dict[tuple[str, int], str]:
    """The serial number that each port of each member serves, asked of from another member, in a handshake."""
    found = {}
    for number, host in enumerate(MEMBERS):
        other = MEMBERS[(number + 1) % len(MEMBERS)]
        tls = f"-CAfile /etc/holdfast/ca.crt -cert {PKI}/etcd/etcd.crt -key {PKI}/etcd/etcd.key -verify_return_error"
        for port, (way, _) in PORTS.items():
            command = f"openssl s_client -connect {lab.address(host)}:{port} {way} {tls} </dev/null 2>/dev/null"
            found[host, port] = lab.run(other, f"{command} | openssl x509 -noout -serial").strip().lower()
    return found


def issued(lab: RunningLab) -> dict[tuple[str, int], str]:
    """The serial number of the certificate that lies on each host for each port."""
    return {
        (host, port): lab.run(host, f"openssl x509 -noout -serial -in {PKI}/{service}/{service}.crt").strip().lower()
        for host in MEMBERS
        for port, (_, service) in PORTS.items()
    }


@contextmanager
def holding(lab: RunningLab, host: str, to: str) -> Iterator[None]:
    """Connections that are open all the while still work at the end."""
    user, password = lab.credential("postgresql/app_rw")
    sql = {"host": "postgresql.lab.internal", "port": 5000, "dbname": "app", "user": user, "password": password}
    sql |= {"sslmode": "verify-full", "sslrootcert": "/etc/holdfast/ca.crt"}
    argv = ["docker", "exec", "-i", str(lab.containers[host].name), "python3", "-c", HOLDER]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps({"to": lab.address(to), "sql": sql}) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "open 200\n"
        yield
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == [2, True, "HTTP/1.0 200 OK"]
    finally:
        process.kill()
        process.wait()


def writing(lab: RunningLab, name: str) -> AbstractContextManager[list[Entry]]:
    """An application that verifies the server, and connects anew all the time, writes; no operation of it fails."""
    service = PostgreSQL(lab)
    # What a busy machine lets wait has not failed.
    patient = {**service.prepare(APP, name)["connection"], "connect_timeout": 30, "tcp_user_timeout": 30000}
    return unharmed(service, {APP: {"connection": patient, "lifetime": LIFETIME}}, name)


def roots(lab: RunningLab) -> set[tuple[str, ...]]:
    """What the files of trusted roots of all hosts hold: one set of roots when all hosts agree."""
    show = (
        'for f in /etc/holdfast/ca.crt /etc/holdfast/pki/*/ca.crt; do if [ -e "$f" ]; then cat "$f"; echo "#"; fi; done'
    )
    found = set()
    for host in lab.containers:
        for bundle in lab.run(host, show).split("#")[:-1]:
            found.add(tuple(re.findall(r"BEGIN CERTIFICATE-----\n(.+?)-----END", bundle, re.DOTALL)))
    return found


def assert_whole(lab: RunningLab) -> None:
    """The site works, a run of it changes nothing, one root is trusted, and nothing of a rotation is left."""
    verified = lab.play(ROOT / "playbooks/verify.yml")
    assert verified.returncode == 0, verified.stdout[-3000:]
    again = lab.play(ROOT / "playbooks/site.yml", "--check")
    assert again.returncode == 0
    assert " changed " not in again.stdout.partition("service ")[0], again.stdout
    parts = held(lab)
    assert all(secret.versions() == [secret.current] and secret.journal is None for secret in parts.values())
    body = parts["root_certificate"].current.partition("-----BEGIN CERTIFICATE-----\n")[2].partition("-----END")[0]
    assert roots(lab) == {(body,)}
    assert serials(lab) == issued(lab)


@pytest.mark.full
def test_old_certificates_get_successors_and_no_connection_drops(lab: RunningLab) -> None:
    for host in MEMBERS:
        for service in ("etcd", "postgresql"):
            age(lab, host, service)
    before = issued(lab)
    with holding(lab, "data-c1", "data-a1"):
        result = lab.make("rotate", "DUE=1")
        assert result.returncode == 0, result.stdout[-3000:]
        after = serials(lab)
    assert after == issued(lab)
    assert not set(after.values()) & set(before.values())


@pytest.mark.full
def test_another_ca_while_the_application_writes(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    before = held(lab)
    old = before["root_certificate"].current
    with writing(lab, "rotation-ca"):
        begun = time.monotonic()
        result = rotate(lab, "pki/ca")
        seconds = time.monotonic() - begun
    assert result.returncode == 0, result.stdout[-3000:]
    after = held(lab)
    assert not {secret.current for secret in before.values()} & {secret.current for secret in after.values()}
    assert_whole(lab)
    lab.run("data-b1", "cat > /tmp/old.pem", old)
    refused = lab.run(
        "data-b1",
        "openssl s_client -verify_return_error -CAfile /tmp/old.pem -connect data-a1:8008 </dev/null 2>&1 || true",
    )
    assert "verify error" in refused
    with capsys.disabled():
        print(f"\na rotation of the CA took {seconds:.1f} s")


@pytest.mark.full
def test_a_new_intermediate_is_no_news_for_clients(lab: RunningLab) -> None:
    trusted, before = roots(lab), held(lab)
    with writing(lab, "rotation-intermediate"):
        result = rotate(lab, "pki/intermediate")
    assert result.returncode == 0, result.stdout[-3000:]
    after = held(lab)
    assert roots(lab) == trusted
    assert after["root_key"].current == before["root_key"].current
    assert after["intermediate_key"].current != before["intermediate_key"].current
    assert_whole(lab)


@pytest.mark.full
def test_killed_anywhere_it_goes_on(lab: RunningLab) -> None:
    before = held(lab)["root_certificate"].current
    with writing(lab, "rotation-ca-killed"):
        for point in ("Run the member", "Finish switched", "Enter retired"):
            lab.killed(PLAYBOOK, *asked("pki/ca"), when=point)
        result = rotate(lab, "pki/ca")
        assert result.returncode == 0, result.stdout[-3000:]
    assert held(lab)["root_certificate"].current != before
    assert_whole(lab)


@pytest.mark.full
@pytest.mark.parametrize("point", ["Enter verified", "Enter drained"])
def test_an_abort_goes_back(lab: RunningLab, point: str) -> None:
    before = held(lab)
    with writing(lab, "rotation-ca-aborted"):
        lab.killed(PLAYBOOK, *asked("pki/ca"), when=point)
        result = rotate(lab, "pki/ca", rotate_abort=True)
        assert result.returncode == 0, result.stdout[-3000:]
    after = held(lab)
    assert all(after[name].current == before[name].current for name in before)
    assert_whole(lab)


@pytest.mark.full
def test_other_keys_between_services_and_backup_stores(lab: RunningLab) -> None:
    """The run itself tries the new keys and the old ones, from every member at every store."""
    paths = ["etcd/backup_ssh", "postgresql/backup_ssh"]
    before = [lab.secret(path) for path in paths]
    result = rotate(lab, ",".join(paths))
    assert result.returncode == 0, result.stdout[-3000:]
    assert not set(before) & {lab.secret(path) for path in paths}
