# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server with etcd behind it, on this machine's loopback, for what needs no node."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.holdfast.platform.plugins.module_utils import _kube
from ansible_collections.holdfast.platform.plugins.plugin_utils import _mirror
from tests.lab.machine import CHECKOUT


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _name(name: str, group: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    return x509.Name([*([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []), *parts])


class Authority:
    """A CA of an hour."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(_name("ca"), self.key.public_key(), authority=True)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            _name("ca"), subject, key, x509.random_serial_number(), now - timedelta(minutes=5), now + timedelta(hours=1)
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        # What Go's own issuers write, and Python asks for from 3.13 on.
        mine, issuers = x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier
        builder = builder.add_extension(mine.from_public_key(key), critical=False)
        builder = builder.add_extension(issuers.from_issuer_public_key(self.key.public_key()), critical=False)
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, group: str = "") -> tuple[bytes, bytes]:
        """Certificate and key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return pem(self._sign(_name(name, group), key.public_key())), pem(key)


def pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Cluster:
    """An API server that can be killed and started again, and kubectl to ask it."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.programs, self.directory = programs, directory
        self.port, client, peer = _free(), _free(), _free()
        self.etcd_url = f"http://127.0.0.1:{client}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        authority = Authority()
        self._write("ca.crt", pem(authority.certificate))
        for name, subject in {"server": ("apiserver", ""), "admin": ("admin", "system:masters")}.items():
            certificate, key = authority.issue(*subject)
            self._write(f"{name}.crt", certificate)
            self._write(f"{name}.key", key)
        self._write("sa.key", pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
        self.kubeconfig = self._write("admin.conf", json.dumps(self._config()).encode())
        self._start(
            "etcd",
            f"--data-dir={directory}/etcd",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        self.start()

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def _config(self) -> dict[str, object]:
        def data(name: str) -> str:
            return base64.b64encode((self.directory / name).read_bytes()).decode()

        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": data("ca.crt")}
        user = {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }

    def _start(self, program: str, *options: str) -> None:
        with (self.directory / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen(
                [self.programs / program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start the API server, and wait until it serves."""
        place = self.directory
        self._start(
            "kube-apiserver",
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={place}/server.crt",
            f"--tls-private-key-file={place}/server.key",
            f"--client-ca-file={place}/ca.crt",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={place}/sa.key",
            f"--service-account-signing-key-file={place}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
        )
        end = time.monotonic() + 180
        while self.kubectl("get", "--raw", "/readyz", check=False).returncode:
            assert self._running["kube-apiserver"].poll() is None, (place / "kube-apiserver.log").read_text()[-3000:]
            assert time.monotonic() < end, (place / "kube-apiserver.log").read_text()[-3000:]
            time.sleep(0.5)

    def kill(self) -> None:
        """Kill the API server, as a crash does."""
        process = self._running.pop("kube-apiserver")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all of it."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """What kubectl says."""
        argv = [self.programs / "kubectl", "--kubeconfig", self.kubeconfig, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    def live(self, *words: str) -> dict[str, object]:
        """An object, or a list of some."""
        found: dict[str, object] = json.loads(self.kubectl("get", "-o", "json", *words).stdout)
        return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Built from the lock file, or taken from the mirror of this machine."""
    if not os.environ.get("HOLDFAST_TEST_FULL"):
        pytest.skip("an API server takes minutes to build: only `make test-full`")
    if not shutil.which("go"):
        pytest.skip("there is no Go on this machine to build an API server with")
    done = subprocess.run(
        ["make", "mirror", "NAMES=kubernetes,etcd"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    directory = tmp_path_factory.mktemp("cluster")
    programs = directory / "programs"
    programs.mkdir()
    for program in ("etcd", "kube-apiserver", "kubectl"):
        newest = max(_mirror.default().glob(f"*-programs-*/{program}"), key=lambda path: path.stat().st_mtime)
        (programs / program).symlink_to(newest)
    cluster = Cluster(programs, directory)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> _kube.Client:
    """A client of it. kubectl, which reads the kubeconfig, is in PATH."""
    monkeypatch.setenv("PATH", f"{cluster.programs}:{os.environ['PATH']}")
    return _kube.Client(_kube.read_kubeconfig(str(cluster.kubeconfig)))
