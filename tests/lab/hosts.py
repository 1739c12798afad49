# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one host's container is made of, and how one is made. Every object carries the lab's labels."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import network
from .site import Host, Site

if TYPE_CHECKING:
    import docker

CAPABILITIES = """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL
    LEASE LINUX_IMMUTABLE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYSLOG
    SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_TTY_CONFIG
""".split()  # noqa: SIM905
"""What root of a host may do. Not the machine's limits, clock and modules: the machine itself may lack these powers."""

_DEVICES = ["b 7:* rwm", "c 10:237 rwm"]
"""Loop devices: a backup store gives each account a file system of its own."""
_DEVICES_OF_NODES = ["a *:* rwm"]
"""A container may only pass on to those inside it what it may use itself, and runc asks for all."""
_KMSG = {"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "rwm"}
"""Without it a kubelet ends."""


def container(lab: str, host: Host, site: Site, image: str, labels: dict[str, str]) -> dict[str, Any]:
    """The engine's request for a host: systemd as on a machine, without all the powers of `--privileged`."""
    return {
        "Image": image,
        "Hostname": host.name,
        "StopSignal": "SIGRTMIN+3",
        "Labels": {
            **labels,
            "holdfast.zone": host.zone,
            "holdfast.host": host.name,
            "holdfast.address": str(host.address),
        },
        "Env": [f"LAB_NETWORK={site.network}", f"LAB_ROUTER={network.router(host.segment.subnet)}"],
        "HostConfig": {
            "CapAdd": CAPABILITIES,
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "DeviceCgroupRules": _DEVICES_OF_NODES if host.node else _DEVICES,
            **({"Devices": [_KMSG]} if host.node else {}),
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "CgroupnsMode": "private",
            "Tmpfs": {"/run": "exec,mode=755", "/run/lock": "", "/tmp": "exec,mode=1777"},
            # Services' data on a real file system instead of an overlay.
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": f"{lab}-{host.name}-var",
                    "Target": "/var",
                    "VolumeOptions": {"Labels": labels},
                }
            ],
            # A reboot starts the host again; one that was killed or stopped from outside stays down.
            "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "NetworkMode": f"{lab}-{host.segment.name}",
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                f"{lab}-{host.segment.name}": {"IPAMConfig": {"IPv4Address": str(host.address)}},
            }
        },
    }


def router(lab: str, site: Site, image: str, labels: dict[str, str]) -> dict[str, Any]:
    """The engine's request for the router: attached to its first network here, to the others afterwards."""
    first = site.segments[0]
    return {
        "Image": image,
        "Hostname": "router",
        "Labels": {**labels, "holdfast.router": "true"},
        # The engine's name server has rules here that are none of the lab's.
        "Entrypoint": ["/bin/sh", "-c", "nft flush ruleset; exec sleep infinity"],
        "HostConfig": {
            "Init": True,
            "CapAdd": ["NET_ADMIN"],
            "Sysctls": {"net.ipv4.ip_forward": "1"},
            "RestartPolicy": {"Name": "unless-stopped"},
            "NetworkMode": f"{lab}-{first.name}",
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                f"{lab}-{first.name}": {"IPAMConfig": {"IPv4Address": str(network.router(first.subnet))}}
            }
        },
    }


def hosts_file(site: Site) -> str:
    """/etc/hosts as every host first has it: it names all hosts of the site."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{host.address} {host.name}.{site.domain} {host.name}" for host in site.hosts]
    return "\n".join(lines) + "\n"


def name_servers(*resolv_confs: str) -> list[str]:
    """Name servers that a host can reach too: the first file's that names any other than on the loopback."""
    for text in resolv_confs:
        servers = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
        reachable = [server for server in servers if not server.startswith("127.") and server != "::1"]
        if reachable:
            return reachable
    return []


def resolv_conf() -> str:
    """A host's /etc/resolv.conf: this machine's name servers; containers inside a host can't reach the engine's."""
    files = [Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")]
    return "".join(f"nameserver {server}\n" for server in name_servers(*(f.read_text() for f in files if f.exists())))


def new_key() -> tuple[str, str]:
    """A new ed25519 key pair for SSH: private and public text."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode() + "\n"


def first_files(host: Host, site: Site, proxy: str, authorized: str, key: tuple[str, str]) -> bytes:
    """A tar of what makes this host itself: names, its SSH key, who may log in, where packages come from."""
    own = "usr/lib/holdfast-lab"
    address, _, port = proxy.removeprefix("http://").partition(":")
    files: list[tuple[str, str, int, int]] = [
        (f"{own}/first/hosts", hosts_file(site), 0o644, 0),
        (f"{own}/first/hostname", f"{host.name}\n", 0o644, 0),
        (f"{own}/first/resolv.conf", resolv_conf(), 0o644, 0),
        (f"{own}/packages-cache", f"{address} {port}\n", 0o644, 0),
        ("etc/ssh/ssh_host_ed25519_key", key[0], 0o600, 0),
        ("etc/ssh/ssh_host_ed25519_key.pub", key[1], 0o644, 0),
        ("home/deploy/.ssh/authorized_keys", authorized, 0o600, 1000),
    ]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text, mode, owner in files:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(text.encode()), mode, owner, owner
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def create(client: docker.DockerClient, name: str, config: dict[str, Any], files: bytes | None = None) -> str:
    """Make a container and put its first files into it; returns its id. It is not started."""
    identity: str = client.api.create_container_from_config(config, name)["Id"]  # type: ignore[no-untyped-call]
    if files is not None:
        client.api.put_archive(identity, "/", files)
    return identity
