# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's copy, proven beside the cluster: a member of etcd and an API server of its own, on 127.0.0.1 alone.

Their programs are those of the static pods' images, run under limits as units of systemd; nobody but this module
reaches them, and no controller acts on what they hold.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _durable,
    _etcd_restore,
    _images,
    _kube_member,
    _kube_restore,
    _kube_static,
    _kubeadm,
)
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_snapshot import SNAPSHOT
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Object, Refused
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

HOME = Path("/var/lib/holdfast/kubernetes-drill")
#: Ports on 127.0.0.1: of etcd's clients, of its members, of the API.
ETCD, PEER, API = 23790, 23800, 26443
_UNITS = ("holdfast-kubernetes-drill-api", "holdfast-kubernetes-drill-etcd")
#: What the drill may take of a control plane that works meanwhile.
_LIMITS = ("--property=CPUWeight=20", "--property=MemoryMax=2G", "--property=Nice=10")

_FLAG = re.compile(r"(?m)^    - (--[\w-]+)(?:=(.*))?$")
_IMAGE = re.compile(r"(?m)^    image: (\S+)$")
#: Seconds by which clocks, and the moments at which a copy and an object were made, may differ.
_DOUBT = 5.0
#: Kinds whose objects come and go by themselves.
_TRANSIENT = ("events", "leases")


@dataclass(frozen=True)
class Program:
    """A static pod's program: the reference of its image, and its flags."""

    image: str
    flags: Mapping[str, str]

    @classmethod
    def of(cls, manifest: str) -> Program:
        """Read a manifest as kubeadm writes it. Raises Failed."""
        image = _IMAGE.search(manifest)
        if not image:
            raise Failed("the manifest of a static pod names no image; run the site")
        return cls(image[1], {name: value.strip('"') for name, value in _FLAG.findall(manifest)})


def etcd_flags(own: Mapping[str, str], data: Path, name: str) -> dict[str, str]:
    """The flags of the drill's member: the certificates of the real one, and nothing else of it."""
    asked = ("cert-file", "key-file", "trusted-ca-file", "client-cert-auth")
    kept = [*asked, *(f"peer-{one}" for one in asked)]
    client, peer = f"https://127.0.0.1:{ETCD}", f"https://127.0.0.1:{PEER}"
    return {
        **{flag: value for flag, value in own.items() if flag.lstrip("-") in kept},
        "--data-dir": str(data),
        "--name": name,
        "--listen-client-urls": client,
        "--advertise-client-urls": client,
        "--listen-peer-urls": peer,
    }


def api_flags(own: Mapping[str, str], home: Path) -> dict[str, str]:
    """The flags of the drill's API server: those of the real one, with the drill's etcd, keys, address and log."""
    return {
        **own,
        "--etcd-servers": f"https://127.0.0.1:{ETCD}",
        "--bind-address": "127.0.0.1",
        "--secure-port": str(API),
        "--endpoint-reconciler-type": "none",
        "--encryption-provider-config": str(home / "encryption.yaml"),
        "--encryption-provider-config-automatic-reload": "false",
        "--audit-log-path": str(home / "audit.log"),
    }


def clean() -> None:
    """Take away all that a drill has made, also one that was killed."""
    for unit in _UNITS:
        run(["systemctl", "stop", f"{unit}.service"], check=False)
        run(["systemctl", "reset-failed", f"{unit}.service"], check=False)
    for place in ("etcd-image", "api-image"):
        if (HOME / place).is_dir():
            run([*_images.CTR, "images", "unmount", "--rm", str(HOME / place)], check=False)
    shutil.rmtree(HOME, ignore_errors=True)


def start(unit: str, program: Program, place: Path, name: str, flags: Mapping[str, str]) -> None:
    """Run a program out of its image, under limits. Raises Failed."""
    place.mkdir(mode=0o700)
    run([*_images.CTR, "images", "mount", program.image, str(place)])
    found = next((path for path in place.glob("usr/**/" + name) if path.is_file()), None)
    if found is None:
        raise Failed(f"{program.image} has no program {name}")
    argv = [f"{flag}={value}" if value else flag for flag, value in flags.items()]
    run(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *_LIMITS, str(found), *argv])


def serve(snapshot: Path, encryption: Path, seconds: float) -> Client:
    """Bring the copy up. Returns a client of its API. Raises Failed with what the programs said."""
    manifests = _kube_static.present()
    etcd, api = Program.of(manifests["etcd"]), Program.of(manifests["kube-apiserver"])
    plan = _etcd_restore.Plan("drill", {"drill": f"https://127.0.0.1:{PEER}"}, "drill", HOME / "etcd")
    _etcd_restore.prepare(plan, snapshot, "root")
    today = _kube_restore.ENCRYPTION.read_text(encoding="utf-8")
    then = encryption.read_text(encoding="utf-8") if encryption.is_file() else today
    _durable.write(HOME / "encryption.yaml", _kube_restore.readable(today, then), 0o600)
    start(_UNITS[1], etcd, HOME / "etcd-image", "etcd", etcd_flags(etcd.flags, plan.prepared, plan.name))
    start(_UNITS[0], api, HOME / "api-image", "kube-apiserver", api_flags(api.flags, HOME))
    server = f"https://127.0.0.1:{API}"
    reason = until(lambda: _kubeadm.unready(server, _kubeadm.PKI / "ca.crt"), seconds, 1)
    if reason:
        said = [run(["journalctl", "-q", "-n", "5", "-o", "cat", "-u", unit], check=False).out for unit in _UNITS]
        raise Failed(f"the copy's API server is not ready after {seconds:g} s: {reason}\n{''.join(said)}")
    return Client(replace(_kube_member.api().access, server=server), patience=3)


def kinds(client: Client) -> list[str]:
    """The paths of all kinds that can be listed and that last, in the version that the API prefers."""
    groups = {"v1": "/api/v1"}
    for group in client.request("GET", "/apis")["groups"]:
        version = group["preferredVersion"]["groupVersion"]
        groups[version] = f"/apis/{version}"
    found = []
    for root in groups.values():
        try:
            listed = client.request("GET", root)["resources"]
        except Refused:  # served by somebody who does not run here, such as the metrics server
            continue
        names = [one["name"] for one in listed if {"list", "get"} <= set(one["verbs"])]
        found += [f"{root}/{name}" for name in names if name not in _TRANSIENT]
    return found


def objects(client: Client, paths: Iterable[str]) -> dict[str, dict[str, Object]]:
    """All objects by path of their kind and UID. Reading a Secret proves that it can be decrypted."""

    def read(path: str) -> tuple[str, dict[str, Object]]:
        return path, {one["metadata"]["uid"]: one["metadata"] for one in client.items(path) if "uid" in one["metadata"]}

    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(read, paths))


def lacking(
    live: Mapping[str, Mapping[str, Object]], copy: Mapping[str, Mapping[str, Object]], made: float
) -> list[str]:
    """Objects that were there before the copy was made (seconds since 1970), still are, and that it does not have."""
    missing = []
    for path, found in live.items():
        for uid, about in found.items():
            if uid not in copy.get(path, {}) and _moment(about["creationTimestamp"]) < made - _DOUBT:
                where = f"{about['namespace']}/" if about.get("namespace") else ""
                missing.append(f"{path.rpartition('/')[2]} {where}{about['name']}")
    return sorted(missing)


def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def write(client: Client) -> None:
    """Write into the copy, and see it in a list that began before: it is a cluster, not only a file. Raises Failed."""
    path = "/api/v1/namespaces/default/configmaps"
    before = client.request("GET", path)["metadata"]["resourceVersion"]
    client.request("POST", path, {"metadata": {"generateName": "drill-"}, "data": {"written": "by a drill"}})
    seen = client.text(f"{path}?watch=1&timeoutSeconds=2&resourceVersion={before}")
    if "by a drill" not in seen:
        raise Failed("a ConfigMap was written into the copy, and a watch did not tell")


def drill(place: Path, made: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Prove the copy in a directory, made at a moment (seconds since 1970). Returns figures. Raises Failed."""
    clean()
    HOME.mkdir(mode=0o700, parents=True)
    begin = clock()
    try:
        copy = serve(place / SNAPSHOT, place / _kube_restore.ENCRYPTION.name, seconds)
        up = clock()
        paths = kinds(copy)
        stored = objects(copy, paths)
        missing = lacking(objects(_kube_member.api(), paths), stored, made)
        if missing:
            raise Failed(f"{len(missing)} objects are older than the copy and not in it: {', '.join(missing[:10])}")
        write(copy)
    finally:
        clean()
    return figures(stored, up - begin, clock() - up)


def figures(stored: Mapping[str, Sequence[object] | Mapping[str, object]], up: float, verify: float) -> dict[str, Any]:
    """What was proven: objects, Secrets among them, kinds that have some, and seconds."""
    return {
        "objects": sum(len(found) for found in stored.values()),
        "secrets": len(stored.get("/api/v1/secrets", ())),
        "kinds": sum(1 for found in stored.values() if found),
        "recover_seconds": round(up, 1),
        "verify_seconds": round(verify, 1),
    }
