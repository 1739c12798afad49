# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm on one host: how the host stands, founding a cluster, joining one, and what was left half done.

The live cluster is asked; a place in the inventory decides nothing. Control planes have the cluster's authorities from
the site's secrets before they join, so nothing has to be handed over but a token of a few minutes, and that never lies
on a disk.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable, _member
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run

KUBERNETES = Path("/etc/kubernetes")
PKI = KUBERNETES / "pki"
ADMIN = KUBERNETES / "admin.conf"
KUBELET = KUBERNETES / "kubelet.conf"
MANIFESTS = KUBERNETES / "manifests"
#: Says that kubeadm is at work, or was killed at it.
BEGUN = KUBERNETES / "holdfast-begun"
#: Says that certificates were renewed, and that not everybody who reads them has begun anew.
RENEWED = KUBERNETES / "holdfast-renewed"
#: A file system in memory: a token goes through here to kubeadm, which reads files only.
DISCOVERY = Path("/run/holdfast/kubernetes-discovery.conf")
#: What containers of an earlier cluster leave of their network; kubeadm says that it doesn't remove it.
NETWORK = (Path("/etc/cni/net.d"), Path("/var/lib/cni"))

_CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"

#: Data of a control plane's member of etcd, and where they are when it has left.
ETCD, ASIDE = Path("/var/lib/etcd"), Path("/var/lib/etcd.removed")

MEMBER = "member"  # belongs to the cluster
JOINABLE = "joinable"  # does not, and a live cluster is there
UNFORMED = "unformed"  # does not, and nobody answers
FOUNDING = "founding"  # began to found one

#: Seconds for founding and for joining: images are there already, but machines may be slow.
_LONG = 900


@dataclass(frozen=True)
class Host:
    """What lies on a host: joined (it has an identity in a cluster), begun (where kubeadm was cut off: init, join)."""

    joined: bool
    begun: str = ""


def look() -> Host:
    """See what lies on this host."""
    return Host(KUBELET.is_file(), BEGUN.read_text(encoding="utf-8").strip() if BEGUN.exists() else "")


def standing(host: Host, *, live: bool) -> str:
    """Where the host stands: MEMBER, JOINABLE, UNFORMED or FOUNDING. live: a cluster answers."""
    if host.joined and not host.begun:
        return MEMBER
    if host.begun == "init":
        return FOUNDING
    return JOINABLE if live else UNFORMED


def unready(address: str, ca: Path) -> str:
    """Why the API server of a base URL is not ready; empty when it is. A health check needs no login."""
    return _member.ask(_member.Ready(f"{address}/readyz", ca=str(ca)))


def version(program: str = "kubeadm") -> str:
    """The version of a kubeadm, such as v1.36.3."""
    return run([program, "version", "-o", "short"]).out.strip()


def pinned(config: str, kubernetes: str, etcd: str = "") -> str:
    """The configuration for the version of the programs that are here: a newer one is the upgrade's to bring.

    etcd: the tag of the image that runs; empty for the configuration's own.
    """
    text = re.sub(r"(?m)^kubernetesVersion:.*$", f"kubernetesVersion: {kubernetes}", config)
    return re.sub(r"(?m)^( +imageTag:).*$", rf"\g<1> {etcd}", text) if etcd else text


_BETWEEN = "\n---\n"


def documents(text: str) -> dict[str, str]:
    """The documents of kubeadm's configuration, by kind."""
    parts = (part.strip() for part in text.split(_BETWEEN))
    return {found[1]: part for part in parts if (found := re.search(r"(?m)^kind: (\w+)$", part))}


def uploaded(client: Client) -> str:
    """The configuration that kubeadm keeps in the cluster, empty when there is none."""
    found = client.get(_CONFIG)
    return str((found or {}).get("data", {}).get("ClusterConfiguration", ""))


def cluster_version(client: Client) -> str:
    """The version that all API servers of the cluster have at least, such as v1.36.3; empty when nobody has told."""
    found = re.search(r"(?m)^kubernetesVersion: (\S+)$", uploaded(client))
    return found[1] if found else ""


class Kubeadm:
    """kubeadm with a configuration: the text of a file with kubeadm's documents."""

    def __init__(self, config: str, *, etcd: str = "", program: str = "kubeadm") -> None:
        """Keep the configuration, for the program's version and for an image of etcd, see `pinned`."""
        self.program, self.version = program, version(program)
        self.config = pinned(config, self.version, etcd)

    def __call__(self, *argv: str, timeout: float = 120, env: dict[str, str] | None = None) -> Done:
        """Run kubeadm. The configuration comes by standard input, so that nothing has to be written. Raises Failed."""
        return run([self.program, *argv, "--config", "/dev/stdin"], stdin=self.config, timeout=timeout, env=env)

    def declared(self) -> str:
        """What kubeadm keeps in the cluster, in its own form: defaults filled in, keys in order. Raises Failed.

        How one joins is left out: kubeadm would look for the file with the token, which is there for a moment only.
        """
        told = documents(self.config)
        told.pop("JoinConfiguration", None)
        argv = [self.program, "config", "migrate", "--old-config", "/dev/stdin"]
        found = documents(run(argv, stdin=_BETWEEN.join(told.values())).out)
        if "ClusterConfiguration" not in found:
            raise Failed("kubeadm's configuration has no document of kind ClusterConfiguration")
        return found["ClusterConfiguration"] + "\n"

    def access(self) -> None:
        """Make what this host needs to ask the cluster: certificates signed by the authorities that it has."""
        self("init", "phase", "certs", "etcd-healthcheck-client")
        if not ADMIN.is_file():
            self("init", "phase", "kubeconfig", "admin")

    def found(self) -> None:
        """Found a cluster. One that was cut off goes on: the phases of kubeadm can be repeated, its checks can't."""
        with _Begun("init") as again:
            self("init", "--skip-token-print", *(_UNCHECKED if again else ()), timeout=_LONG)

    def join(self, token: str, server: str, ca: Path = PKI / "ca.crt") -> None:
        """Join the cluster at server (a URL) with a bootstrap token. One that was cut off goes on."""
        DISCOVERY.parent.mkdir(mode=0o755, exist_ok=True)
        _durable.write(DISCOVERY, discovery(token, server, ca.read_bytes()), 0o600)
        try:
            with _Begun("join") as again:
                # The kubelet has its identity, so its Node is there: kubeadm would refuse another one of the name.
                known = ["--skip-phases=kubelet-start"] if again and KUBELET.is_file() else []
                self("join", *known, *(_UNCHECKED if again else ()), timeout=_LONG)
        finally:
            DISCOVERY.unlink()


_UNCHECKED = ("--ignore-preflight-errors=all",)


class _Begun:
    """The time in which kubeadm is at work at a verb. Entering tells whether it was before, and was cut off."""

    def __init__(self, verb: str) -> None:
        self.verb = verb

    def __enter__(self) -> bool:
        again = BEGUN.exists()
        _durable.write(BEGUN, f"{self.verb}\n")
        return again

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            BEGUN.unlink()


def discovery(token: str, server: str, ca: bytes) -> str:
    """A kubeconfig with which kubeadm finds the cluster and proves that it may join."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "site",
                    "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()},
                }
            ],
            "users": [{"name": "joins", "user": {"token": token}}],
            "contexts": [{"name": "join", "context": {"cluster": "site", "user": "joins"}}],
            "current-context": "join",
        }
    )


def clear() -> None:
    """Take away what an earlier cluster left on a host that is not part of one: networks of its pods."""
    for directory in NETWORK:
        if directory.is_dir():
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for link in ("cni0", "flannel.1"):
        if Path("/sys/class/net", link).exists():
            run(["ip", "link", "delete", link])


def leave() -> bool:
    """Undo on this host what founding or joining did. The data of etcd are put aside. Tells whether anything was there.

    Of the cluster it has to be taken before, by those who stay.
    """
    if not (KUBELET.exists() or BEGUN.exists() or (MANIFESTS.is_dir() and any(MANIFESTS.iterdir()))):
        return False
    run(["kubeadm", "reset", "--force", "--skip-phases=remove-etcd-member"], timeout=_LONG)
    clear()
    if ETCD.is_dir() and any(ETCD.iterdir()):
        if ASIDE.exists():
            shutil.rmtree(ASIDE)
        ETCD.rename(ASIDE)
    return True


def bootstrap_token() -> tuple[str, str]:
    """A new bootstrap token as id and secret: [a-z0-9]{6}.[a-z0-9]{16} (kubernetes.io, Bootstrap Tokens)."""
    text = base64.b32encode(os.urandom(20)).decode().lower()
    return text[:6], text[6:22]


def token_secret(identity: str, secret: str, expires: str) -> dict[str, object]:
    """The object that makes a token valid until expires (RFC 3339), for joining and nothing else."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{identity}", "namespace": "kube-system"},
        "stringData": {
            "token-id": identity,
            "token-secret": secret,
            "expiration": expires,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "false",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }
