# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of the lab. A `Lab` is a name; what exists of it is asked of the engine each time."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.models.containers import Container
from docker.models.networks import Network

from . import engine, hosts, image, machine, network, packages
from . import site as sites
from .cli import DEFAULT
from .machine import LabError, say

T = TypeVar("T")
USER = "deploy"


def in_parallel(action: Callable[[T], object], items: Iterable[T]) -> None:
    """Do one thing to all items at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for result in [pool.submit(action, item) for item in items]:
            result.result()


class Lab:
    """One running lab of this machine."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"LAB={name} can't be a lab's name: use lower-case letters, digits and '-', at most 31")
        self.name = name
        self.home = Path(os.environ.get("HOLDFAST_LAB_HOME") or machine.CHECKOUT / ".lab").resolve() / name
        self.labels = {"holdfast.lab": name, "holdfast.home": str(self.home)}

    # What exists

    @property
    def _client(self) -> docker.DockerClient:
        client = engine.connect()
        if client is None:
            raise LabError("no container engine runs, and so no lab: start one with `make lab`")
        return client

    def _filters(self, home: str | None = None) -> dict[str, str | list[str] | bool]:
        """What the engine is asked for: this lab's objects, and not those of another checkout's by the same name."""
        return {"label": [f"holdfast.lab={self.name}", f"holdfast.home={home or self.home}"]}

    def _everything(self, client: docker.DockerClient, home: str | None = None) -> list[Container | Network]:
        """The lab's containers, the router included, and networks."""
        filters = self._filters(home)
        found: list[Container] = client.containers.list(all=True, filters=filters, ignore_removed=True)
        return [*found, *client.networks.list(filters=filters)]

    def containers(self, client: docker.DockerClient) -> dict[str, Container]:
        """Hosts of the lab by name, running or not."""
        found: list[Container] = client.containers.list(all=True, filters=self._filters(), ignore_removed=True)
        return {
            c.labels["holdfast.host"]: c
            for c in sorted(found, key=lambda c: str(c.name))
            if "holdfast.host" in c.labels
        }

    def networks(self, client: docker.DockerClient) -> list[Network]:
        found: list[Network] = client.networks.list(filters=self._filters())
        return sorted(found, key=lambda n: str(n.name))

    def zones(self, client: docker.DockerClient) -> dict[str, list[IPv4Network]]:
        """Networks of each zone."""
        zones: dict[str, list[IPv4Network]] = {}
        for item in self.networks(client):
            subnet = IPv4Network(item.attrs["IPAM"]["Config"][0]["Subnet"])
            zones.setdefault(item.attrs["Labels"]["holdfast.zone"], []).append(subnet)
        return zones

    def _state(self) -> dict[str, Any]:
        file = self.home / "lab.json"
        state: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return state

    def _must_exist(self) -> dict[str, Any]:
        state = self._state()
        if not state:
            known = sorted(path.parent.name for path in self.home.parent.glob("*/lab.json"))
            raise LabError(f"no lab '{self.name}' in {self.home.parent}; known: {', '.join(known) or 'none'}")
        return state

    # up

    def up(self, site: str) -> None:
        """Bring the lab up; what is there and right is left alone."""
        declared = sites.load(site)
        runs = self._state().get("site", site)
        if runs != site:
            raise LabError(f"lab '{self.name}' is of SITE={runs}: `make lab-down` first, or choose another LAB=")
        machine.require({"ssh": "openssh-client", "nft": "nftables", "ss": "iproute2"})
        machine.raise_limit("fs/inotify/max_user_instances", 1024)
        if any(host.node for host in declared.hosts):
            for name, least in machine.NODES.items():
                machine.raise_limit(name, least)
        client = engine.ensure()
        proxy = packages.ensure(client)
        host_image = image.ensure(client, proxy)
        with machine.locked(self.home, f"lab '{self.name}'"):
            self._check_owner(client)
            self._prepare_home(client, site, declared.network, proxy)
            model = sites.load(site, self._state()["network"])
            self._create_networks(client, model)
            self._start_router(client, model, host_image)
            self._start_hosts(client, model, host_image, proxy)
        say(f"lab '{self.name}' is up: {len(model.hosts)} hosts of site {model.name} in {model.network}")

    def renew(self, host: str) -> None:
        """Put an empty host in the place of one: as a machine that was installed anew."""
        site = self._must_exist()["site"]
        client = self._client
        container = self.containers(client).get(host)
        if container is None:
            raise LabError(f"HOST={host} is no host of lab '{self.name}'; known: {', '.join(self.containers(client))}")
        with machine.locked(self.home, f"lab '{self.name}'"):
            self._remove_host(client, container)
        self.up(site)

    def _check_owner(self, client: docker.DockerClient) -> None:
        """Names are the machine's: another checkout's lab is in the way, unless that checkout is gone."""
        networks = client.networks.list(filters={"label": f"holdfast.lab={self.name}"})
        for home in {Path(item.attrs["Labels"]["holdfast.home"]) for item in networks} - {self.home}:
            if (home / "lab.json").exists():
                raise LabError(f"a lab '{self.name}' is up already, that of {home}: choose another LAB=")
            say(f"removing what is left of a lab '{self.name}': its directory {home} is gone")
            self._remove_objects(client, str(home))

    def _prepare_home(self, client: docker.DockerClient, site: str, preferred: IPv4Network, proxy: str) -> None:
        """The lab's directory: address range, keys, vault password. The range is reserved by its rules in nft."""
        state = self._state()
        if not state:
            self.home.chmod(0o700)
            (self.home / "secrets").mkdir(mode=0o700, exist_ok=True)
            private, public = hosts.new_key()
            self._write("id_ed25519", private)
            self._write("id_ed25519.pub", public)
            self._write("known_hosts", "")
            self._write("vault-password", secrets.token_urlsafe(32) + "\n")
        with machine.locked(machine.STATE, "the address ranges of this machine"):
            if not state:
                # The site's own range is the default lab's, whichever is started first.
                reserved = [] if self.name == DEFAULT else [preferred]
                others = network.masqueraded(machine.run(["nft", "list", "ruleset"]))
                others.pop(self._table(), None)
                chosen = network.choose(preferred, [*_networks_in_use(client), *reserved, *others.values()])
                state = {"name": self.name, "site": site, "network": str(chosen)}
                say(f"lab '{self.name}' takes {chosen}")
            self._write("lab.json", json.dumps({**state, "packages_proxy": proxy}, indent=2) + "\n")
            machine.run(["nft", "-f", "-"], stdin=network.masquerade(self._table(), IPv4Network(state["network"])))

    def _write(self, name: str, text: str) -> None:
        file = self.home / name
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)

    def _table(self) -> str:
        return "holdfast_" + self.name.replace("-", "_")

    def _create_networks(self, client: docker.DockerClient, model: sites.Site) -> None:
        there = {str(item.name): item.attrs["IPAM"]["Config"][0]["Subnet"] for item in self.networks(client)}
        for segment in model.segments:
            name = f"{self.name}-{segment.name}"
            if name not in there:
                client.networks.create(
                    name,
                    ipam=docker.types.IPAMConfig(
                        pool_configs=[
                            docker.types.IPAMPool(
                                subnet=str(segment.subnet), gateway=str(network.gateway(segment.subnet))
                            )
                        ]
                    ),
                    options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
                    labels={**self.labels, "holdfast.zone": segment.zone},
                    check_duplicate=True,
                )
            elif there[name] != str(segment.subnet):
                raise LabError(
                    f"zone network {name} is {there[name]}, the site says {segment.subnet}: `make lab-down` first"
                )

    def _start_router(self, client: docker.DockerClient, model: sites.Site, host_image: str) -> None:
        container = self._router(client)
        if container is None:
            name = f"{self.name}-router"
            hosts.create(client, name, hosts.router(self.name, model, host_image, self.labels))
            container = client.containers.get(name)
        for segment in model.segments:
            if f"{self.name}-{segment.name}" not in container.attrs["NetworkSettings"]["Networks"]:
                client.networks.get(f"{self.name}-{segment.name}").connect(
                    container, ipv4_address=str(network.router(segment.subnet))
                )
        if container.status != "running":
            container.start()

    def _start_hosts(self, client: docker.DockerClient, model: sites.Site, host_image: str, proxy: str) -> None:
        there = self.containers(client)
        wanted = {host.name: host for host in model.hosts}
        for name, container in list(there.items()):
            host = wanted.get(name)
            if container.status == "created":
                reason = "it was never finished"
            elif host is None:
                reason = "the site has no such host"
            elif container.labels["holdfast.address"] != str(host.address):
                reason = f"the site has it at {host.address}"
            else:
                continue
            say(f"removing {name}: {reason}")
            self._remove_host(client, there.pop(name))
        missing = [host for host in model.hosts if host.name not in there]
        stopped = [container for container in there.values() if container.status != "running"]
        if missing:
            say(f"creating {', '.join(host.name for host in missing)}")
        if stopped:
            say(f"starting {', '.join(container.labels['holdfast.host'] for container in stopped)}")
        keys = {host.name: hosts.new_key() for host in missing}
        self._know(model, {name: public for name, (_, public) in keys.items()})

        def create(host: sites.Host) -> None:
            config = hosts.container(self.name, host, model, host_image, self.labels)
            authorized = (self.home / "id_ed25519.pub").read_text()
            files = hosts.first_files(host, model, proxy, authorized, keys[host.name])
            client.api.start(hosts.create(client, f"{self.name}-{host.name}", config, files))

        in_parallel(create, missing)
        in_parallel(lambda container: container.start(), stopped)
        self._await({host.name: str(host.address) for host in model.hosts})

    def _know(self, model: sites.Site, keys: dict[str, str]) -> None:
        """Write the new hosts' public keys into known_hosts, under their address and names."""
        names = {host.name: f"{host.address},{host.name},{host.name}.{model.domain}" for host in model.hosts}
        old = (self.home / "known_hosts").read_text().splitlines()
        lines = [line for line in old if line.split()[0].split(",")[1] in names.keys() - keys.keys()]
        lines += [f"{names[name]} {public.strip()}" for name, public in keys.items()]
        self._write("known_hosts", "\n".join([*lines, ""]))

    def _await(self, addresses: dict[str, str], seconds: float = 90) -> None:
        """Wait until all these hosts let us log in."""
        deadline = time.monotonic() + seconds

        def login(item: tuple[str, str]) -> None:
            name, address = item
            while True:
                argv = [*self.ssh_command(address), "true"]
                result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                if result.returncode == 0:
                    return
                if time.monotonic() > deadline:
                    raise LabError(
                        f"{name} ({address}) does not let us log in after {seconds:.0f} s: {result.stderr.strip()}\n"
                        f"what it printed: docker logs {self.name}-{name}"
                    )
                time.sleep(0.3)

        in_parallel(login, addresses.items())

    # down

    def down(self) -> None:
        """Remove the lab; when it was the last one, also the engine and the package cache that a lab started."""
        client = engine.connect()
        if not self.home.exists() and (client is None or not self._everything(client)):
            say(f"there is no lab '{self.name}' in {self.home.parent}")
            return
        if client is None and self.home.exists() and shutil.which("dockerd"):
            client = engine.ensure()
        if client is not None:
            with machine.locked(self.home, f"lab '{self.name}'"):
                self._remove_objects(client)
                shutil.rmtree(self.home)
        elif self.home.exists():
            shutil.rmtree(self.home)
        home = machine.CHECKOUT / ".lab"
        if home.is_dir() and not any(home.iterdir()):
            home.rmdir()
        say(f"lab '{self.name}' is gone")
        if client is None or not client.networks.list(filters={"label": "holdfast.lab"}):
            packages.stop()
            engine.stop()
        say(f"kept: downloaded packages ({machine.STATE}), the host image, .venv; `make clean` removes them")

    def clean(self) -> None:
        """Remove all labs of this checkout and, unless another checkout has one, what labs of this machine share."""
        for file in sorted(self.home.parent.glob("*/lab.json")):
            Lab(file.parent.name).down()
        client = engine.connect() or (engine.ensure() if shutil.which("dockerd") else None)
        if client is not None and client.networks.list(filters={"label": "holdfast.lab"}):
            say("packages and host image stay: another checkout has a lab on this machine")
            return
        if client is not None:
            for found in client.images.list(filters={"label": "holdfast.image=host"}):
                client.images.remove(str(found.id), force=True)
        engine.stop()
        shutil.rmtree(machine.STATE, ignore_errors=True)
        say("downloaded packages and host images are gone")

    def _remove_objects(self, client: docker.DockerClient, home: str | None = None) -> None:
        state = self._state()
        if state:
            _end_connections(state["network"])
        everything = self._everything(client, home)
        containers = [item for item in everything if isinstance(item, Container)]
        if containers:
            say(f"removing {len(containers)} containers of lab '{self.name}'")
        in_parallel(lambda container: self._remove_host(client, container), containers)
        for volume in client.volumes.list(filters=self._filters(home)):
            volume.remove(force=True)
        for item in everything:
            if isinstance(item, Network):
                item.remove()
        if (state or everything) and shutil.which("nft", path=f"{os.environ.get('PATH')}:/usr/sbin"):
            table = self._table()
            machine.run(["nft", "-f", "-"], stdin=f"table ip {table}\ndelete table ip {table}\n")

    def _remove_host(self, client: docker.DockerClient, container: Container) -> None:
        container.remove(force=True, v=True)
        for mount in container.attrs.get("Mounts", []):
            if mount.get("Type") == "volume" and mount.get("Name", "").startswith(f"{self.name}-"):
                client.volumes.get(mount["Name"]).remove(force=True)

    # status and ssh

    def status(self) -> None:
        """Print the lab: hosts by zone, where they are, what is cut off."""
        state = self._must_exist()
        client = self._client
        router = self._router(client)
        routed = router is not None and router.status == "running"
        cuts = self._cuts(client) if routed else {}
        proxy = state["packages_proxy"]
        cached = "answers" if packages.answers(proxy.removeprefix("http://").split(":")[0]) else "does not answer"
        print(f"lab {self.name}   site {state['site']}   network {state['network']}   package cache {proxy} {cached}")
        if not routed:
            print("the router does not run, so the zones do not reach each other: `make lab` starts it")
        print(f"{'zone':<8}{'host':<20}{'address':<18}state")
        for name, container in sorted(
            self.containers(client).items(), key=lambda i: (i[1].labels["holdfast.zone"], i[0])
        ):
            zone = container.labels["holdfast.zone"]
            cut = f", zone cut off ({cuts[zone]})" if zone in cuts else ""
            print(f"{zone:<8}{name:<20}{container.labels['holdfast.address']:<18}{container.status}{cut}")

    def ssh_command(self, address: str) -> list[str]:
        """The command line that logs in to an address of this lab."""
        return [
            *["ssh", "-F", "none", "-i", str(self.home / "id_ed25519"), "-o", "IdentitiesOnly=yes"],
            *["-o", f"UserKnownHostsFile={self.home / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"],
            *["-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-o", "LogLevel=ERROR", f"{USER}@{address}"],
        ]

    def ssh(self, host: str, command: Sequence[str]) -> int:
        """Log in to a host, or run a command there; returns ssh's exit status."""
        self._must_exist()
        there = self.containers(self._client)
        if host not in there:
            raise LabError(f"HOST={host or '?'} is not in lab '{self.name}'; known: {', '.join(there)}")
        argv = self.ssh_command(there[host].labels["holdfast.address"])
        terminal = ["-t"] if command and sys.stdin.isatty() else []
        return subprocess.run([argv[0], *terminal, *argv[1:], *command], check=False).returncode

    def tour(self) -> None:
        """Print what to try in a lab whose site has been deployed: its own tour.txt, then what any lab has."""
        self.status()
        text = sites.INVENTORIES / str(self._state()["site"]) / "tour.txt"
        host, zone = next(iter(self.containers(self._client))), sorted(self.zones(self._client))[-1]
        lines = [
            "",
            *(text.read_text().splitlines() if text.is_file() else []),
            f"  {'make verify':<40}does every service work?",
            f"  {f'make ssh HOST={host}':<40}log in; `sudo -i` is allowed",
            f"  {f'make zone-kill ZONE={zone}':<40}the power of a zone fails; zone-heal brings it back",
            f"  {f'make zone-cut ZONE={zone}':<40}a zone is cut off from the others; WAY=in or out: one way",
            f"  {'make site':<40}again: nothing changes",
            f"  {'make lab-down':<40}remove all of it",
        ]
        make = "make" if self.name == DEFAULT else f"make LAB={self.name}"
        print("\n".join(re.sub(r"^  make", f"  {make}", line) for line in lines))

    # zones

    def _zone(self, client: docker.DockerClient, zone: str) -> list[Container]:
        """Hosts of a zone; raises LabError for one that the lab does not have."""
        zones = self.zones(client)
        if zone not in zones:
            raise LabError(f"ZONE={zone or '?'} is not in lab '{self.name}'; known: {', '.join(sorted(zones))}")
        return [c for c in self.containers(client).values() if c.labels["holdfast.zone"] == zone]

    def _nft(self, client: docker.DockerClient, *arguments: str) -> str:
        """Run nft on the router."""
        router = self._router(client)
        if router is None or router.status != "running":
            raise LabError(f"the router of lab '{self.name}' does not run: `make lab` starts it")
        status, output = router.exec_run(["nft", *arguments])
        text = output.decode() if isinstance(output, bytes) else ""
        if status != 0:
            raise LabError(f"nft on the router: {text}")
        return text

    def _router(self, client: docker.DockerClient) -> Container | None:
        found = client.containers.list(all=True, filters=self._filters(), ignore_removed=True)
        return next((container for container in found if "holdfast.router" in container.labels), None)

    def _cuts(self, client: docker.DockerClient) -> dict[str, str]:
        # The engine of a busy machine may lose what a short program has printed, and this one always prints something.
        for _ in range(5):
            text = self._nft(client, "-j", "list", "ruleset")
            if text:
                return network.read_cuts(text)
        raise LabError(f"the router of lab '{self.name}' does not say which zones are cut off: no output of nft")

    def zone_cut(self, zone: str, way: str) -> None:
        """Cut a zone off from the others."""
        self._must_exist()
        client = self._client
        self._zone(client, zone)
        if way not in network.WAYS:
            raise LabError(f"WAY={way} is unknown; known: {', '.join(network.WAYS)}")
        self._nft(client, network.cut_rules({**self._cuts(client), zone: way}, self.zones(client)))
        dropped = {"in": "nothing enters it", "out": "nothing leaves it", "both": "nothing enters or leaves it"}
        say(f"zone {zone} is cut off: {dropped[way]}. Your own SSH still gets there. Undo: make zone-heal ZONE={zone}")

    def zone_kill(self, zone: str) -> None:
        """Kill all hosts of a zone at once, as when the power fails; they stay down."""
        self._must_exist()
        client = self._client
        victims = [container for container in self._zone(client, zone) if container.status == "running"]
        in_parallel(lambda container: container.kill(signal="SIGKILL"), victims)
        names = ", ".join(container.labels["holdfast.host"] for container in victims) or "nothing was running"
        say(f"zone {zone} is dead: {names}. Undo: make zone-heal ZONE={zone}")

    def zone_heal(self, zone: str) -> None:
        """Connect a zone again, start its hosts, and wait until one can log in."""
        self._must_exist()
        client = self._client
        members = self._zone(client, zone)
        cuts = {name: way for name, way in self._cuts(client).items() if name != zone}
        self._nft(client, network.cut_rules(cuts, self.zones(client)))
        in_parallel(lambda container: container.start(), [c for c in members if c.status != "running"])
        self._await({c.labels["holdfast.host"]: c.labels["holdfast.address"] for c in members})
        say(f"zone {zone} is whole: {', '.join(c.labels['holdfast.host'] for c in members)}")


def _networks_in_use(client: docker.DockerClient) -> list[IPv4Network]:
    """Networks that this machine has an address or a route in, and those of the engine."""
    routes = json.loads(machine.run(["ip", "-4", "-j", "route", "show", "table", "all"]) or "[]")
    used = [route["dst"] for route in routes if route["dst"] != "default"]
    for item in client.networks.list():
        used += [config["Subnet"] for config in item.attrs["IPAM"]["Config"] or [] if ":" not in config["Subnet"]]
    return [IPv4Network(cidr, strict=False) for cidr in used]


def _end_connections(cidr: str) -> None:
    """End this machine's SSH connections into a lab: ansible's persistent ones outlive their play by an hour."""
    lines = machine.run(["ss", "-Htnp", "dst", cidr]).splitlines()
    for pid in {int(pid) for line in lines for pid in re.findall(r'\("ssh",pid=(\d+)', line)}:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
