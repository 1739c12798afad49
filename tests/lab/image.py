# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of a host: Debian as an installer leaves it, from packages alone."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

import docker

from . import machine, packages

REPOSITORY = "holdfast-lab"
RECIPE = Path(__file__).parent / "image"
PACKAGES = """
    apt-utils ca-certificates cron dbus debian-archive-keyring hostname iproute2 iputils-ping kmod less libpam-systemd
    login logrotate nano netbase nftables openssh-server openssl procps python3 python3-apt sudo systemd systemd-sysv
    systemd-timesyncd vim-tiny
""".split()  # noqa: SIM905
CHANGES = [
    'ENTRYPOINT ["/usr/lib/holdfast-lab/init"]',
    "ENV container=docker SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    "LABEL holdfast.image=host",
]
"""Configuration of the image: cgroup v1 is still good enough for systemd when it is told so."""


def tag(sources: list[str], options: list[str]) -> str:
    """The image's tag: a digest of everything that it is made from."""
    digest = hashlib.sha256(repr((PACKAGES, CHANGES, sources, options)).encode())
    for file in sorted(RECIPE.iterdir()):
        digest.update(file.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def ensure(client: docker.DockerClient, proxy: str) -> str:
    """The name of the host image, built through the package cache when this machine has none like it."""
    sources, options = packages.sources(), packages.options()
    name = tag(sources, options)
    with machine.locked(machine.STATE, "the host image"):
        if not client.images.list(name=name):
            machine.require({"mmdebstrap": "mmdebstrap", "gpgv": "gpgv"})
            machine.say(f"building the host image {name} (half a minute, once per machine)")
            with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
                archive = Path(directory) / "root.tar"
                machine.run(
                    _command(archive, sources, [*options, f'Acquire::http::Proxy "{proxy}";']), what="mmdebstrap"
                )
                machine.say("importing the host image")
                repository, _, version = name.partition(":")
                client.api.import_image_from_file(str(archive), repository=repository, tag=version, changes=CHANGES)
            for old in client.images.list(filters={"label": "holdfast.image=host"}):
                with suppress(docker.errors.APIError):  # a running lab still uses it
                    if name not in old.tags:
                        client.images.remove(str(old.id))
    return name


def _command(archive: Path, sources: list[str], options: list[str]) -> list[str]:
    return [
        "mmdebstrap",
        "--variant=minbase",
        # With the package lists, apt knows what it could install: check mode on a fresh host.
        "--skip=cleanup/apt/lists",
        f"--include={','.join(PACKAGES)}",
        *[f"--aptopt={option.rstrip(';')}" for option in options],
        f'--customize-hook={RECIPE}/customize "$1" {RECIPE}',
        packages.SUITE,
        str(archive),
        *sources,
    ]
