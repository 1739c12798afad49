# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hosts get packages: the controller's mirrors, through one apt-cacher-ng for all labs of the machine."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import machine
from .site import MIRROR

if TYPE_CHECKING:
    import docker

NAME = "apt-cacher-ng"
PORT = 3143
SUITE = "trixie"


def mirrors(sources: str) -> tuple[str, str]:
    """The mirrors for packages and for security updates that an apt configuration names.

    `sources`: the text of all source files, in either of apt's formats. Raises LabError when none is Debian's.
    """
    live = "\n".join(line.split("#")[0] for line in sources.splitlines())
    urls = [url.rstrip("/") for url in re.findall(r"https?://[^\s\]]+", live)]
    main = next((url for url in urls if urlsplit(url).path.endswith("/debian")), None)
    if main is None:
        raise machine.LabError(
            "/etc/apt names no Debian mirror (a URL that ends in /debian) for the hosts to use; add one"
        )
    security = next((url for url in urls if "debian-security" in url), None)
    return main, security or f"{main}-security"


def sources() -> list[str]:
    """The lines of a host's sources.list, with the mirrors that this machine's own apt uses."""
    etc = Path("/etc/apt")
    files = [
        etc / "sources.list",
        *sorted(etc.glob("sources.list.d/*.list")),
        *sorted(etc.glob("sources.list.d/*.sources")),
    ]
    main, security = mirrors("\n".join(file.read_text() for file in files if file.is_file()))
    return [
        f"deb {main} {SUITE} main",
        f"deb {main} {SUITE}-updates main",
        f"deb {security} {SUITE}-security main",
    ]


def options() -> list[str]:
    """This machine's own settings for how apt judges a mirror's age; hosts use the same mirror."""
    text = machine.run(["apt-config", "dump", "Acquire"])
    return [line for line in text.splitlines() if re.match(r"Acquire::(Check-Valid-Until|Check-Date) ", line)]


def upstream_proxy() -> str:
    """The proxy that this machine's own apt needs to reach its mirrors, or an empty string."""
    match = re.search(r'^Acquire::http::Proxy "(.*)";$', machine.run(["apt-config", "dump", "Acquire"]), re.MULTILINE)
    return match[1] if match else ""


def configuration(address: str, proxy: str, mirror: Path) -> str:
    """The text of acng.conf for a cache that listens on an address (and on the loopback)."""
    lines = [
        f"CacheDir: {machine.STATE}/packages",
        f"LogDir: {machine.STATE}/packages/log",
        f"PidFile: {machine.STATE}/packages/pid",
        f"Port: {PORT}",
        f"BindAddress: 127.0.0.1 {address}",
        "SupportDir: /usr/lib/apt-cacher-ng",
        "ForeGround: 1",
        "ExThreshold: 30",
        # What `make mirror` built, as http://.../mirror: artifacts are hundreds of MB, too many for SSH.
        f"LocalDirs: mirror {mirror}",
        # Sources by https can be reached through it, though not cached.
        "PassThroughPattern: .*",
    ]
    return "\n".join([*lines, *([f"Proxy: {proxy}"] if proxy else [])]) + "\n"


def answers(address: str) -> bool:
    """Whether something accepts connections on the cache's port."""
    try:
        with socket.create_connection((address, PORT), timeout=1):
            return True
    except OSError:
        return False


def ensure(client: docker.DockerClient) -> str:
    """The URL of the running cache, started when it is not.

    It listens on the address of the engine's own bridge: every lab's hosts reach that, the outside does not.
    """
    bridge = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    address = str(bridge.get("Gateway") or bridge["Subnet"].split("/")[0].rsplit(".", 1)[0] + ".1")
    with machine.locked(machine.STATE, "this machine's package cache"):
        if machine.started(NAME) is None:
            if answers(address):
                raise machine.LabError(f"port {PORT} of {address} is in use, and not by a package cache of a lab")
            if machine.require({NAME: NAME}) and Path("/run/systemd/system").exists():
                # The package has started one for the whole machine, with settings of its own.
                machine.run(["systemctl", "disable", "--now", "--quiet", NAME])
            _start(address)
    return f"http://{address}:{PORT}"


def _start(address: str) -> None:
    etc = machine.STATE / "packages-conf"
    for directory in (etc, machine.STATE / "packages", machine.STATE / "packages/log"):
        directory.mkdir(parents=True, exist_ok=True)
        machine.run(["chown", NAME, str(directory)])
    (etc / "acng.conf").write_text(configuration(address, upstream_proxy(), MIRROR))
    machine.say(f"starting the package cache {NAME} on {address}:{PORT} (kept in {machine.STATE}/packages)")
    machine.start(NAME, [f"/usr/sbin/{NAME}", "-c", str(etc)], user=NAME)
    deadline = time.monotonic() + 15
    while not answers(address):
        if machine.started(NAME) is None or time.monotonic() > deadline:
            raise machine.LabError(f"the package cache did not start: see {machine.STATE}/{NAME}.log")
        time.sleep(0.1)


def stop() -> None:
    """Stop the cache; what it downloaded stays."""
    if machine.stop(NAME):
        machine.say("package cache stopped")
