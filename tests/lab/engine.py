# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker server that carries the lab: the one that answers, else one of our own from the distribution."""

from __future__ import annotations

import time

import docker

from . import machine

NAME = "dockerd"


def connect() -> docker.DockerClient | None:
    """A client of the server that answers, or None. There may be a docker program and yet no server."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except docker.errors.DockerException:
        return None
    return client


def ensure() -> docker.DockerClient:
    """A client of a running server; installs and starts one when there is none."""
    with machine.locked(machine.STATE, "this machine's container engine"):
        client = connect()
        if client is not None:
            return client
        machine.require({"dockerd": "docker.io", "iptables": "iptables", "nft": "nftables"})
        # On a machine with an init system the package has just started it.
        for attempt in range(30):
            client = connect()
            if client is not None:
                return client
            if attempt == 2 and machine.started(NAME) is None:
                machine.say(f"starting a container engine (log: {machine.STATE}/{NAME}.log)")
                machine.start(NAME, ["/usr/sbin/dockerd"])
            time.sleep(1)
    raise machine.LabError(f"no container engine answers; the last words of one are in {machine.STATE}/{NAME}.log")


def stop() -> None:
    """Stop the server if a lab started it and nothing else runs in it."""
    client = connect()
    if machine.started(NAME) is None:
        return
    if client is not None and client.containers.list():
        machine.say("the container engine stays: it runs containers that are not of a lab")
        return
    machine.stop(NAME)
    machine.say("container engine stopped")
