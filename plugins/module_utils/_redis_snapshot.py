# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a copy of a Redis cluster into a directory: the program that `_restic` starts on a member.

The role lays this file down on the members, so that it needs nothing but the standard library and Redis' own programs.
Only the primary makes a copy; the others leave it to it. Of shards the primary of slot 0 copies them all, so that a
copy is whole or is not made at all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NOT_MY_TURN = 75  # what `_restic` takes for "another member makes the copy"
SNAPSHOT = "dump.rdb"
SLOTS = 16384
SYNC = 10  # seconds in which a replica has to have what its primary had when the copy began
CLI = Path(__file__).resolve().parent / "cli"  # redis-cli as the administrator, laid down by the role too


def ask(*argv: str) -> str:
    """What a program prints. Ends with what it complained of when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise SystemExit(f"{' '.join(argv)}: exit status {done.returncode}: {said[-1000:]}")
    return done.stdout


def leads(role: str) -> bool:
    """Whether a member leads, from what it says to ROLE."""
    return role.split()[:1] == ["master"]


def version(said: str) -> str:
    """The server's version, from INFO."""
    return next((line.split(":", 1)[1] for line in said.split() if line.startswith("redis_version:")), "")


def persistence() -> dict[str, str]:
    """What the server says of its files."""
    lines = ask(str(CLI), "INFO", "persistence").split()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def snapshot() -> Path:
    """Let the server write its snapshot; where it is.

    Not `redis-cli --rdb`: the Sentinels would take it for a replica, and watch it for ever.
    """
    time.sleep(1.1)  # the time of a snapshot is in whole seconds
    before = int(persistence()["rdb_last_save_time"])
    ask(str(CLI), "BGSAVE", "SCHEDULE")
    end = time.monotonic() + 1800
    while int((facts := persistence())["rdb_last_save_time"]) <= before or facts["rdb_bgsave_in_progress"] != "0":
        if facts["rdb_last_bgsave_status"] != "ok" or time.monotonic() > end:
            raise SystemExit("the server could not write its snapshot; its journal says why")
        time.sleep(0.3)
    settings = ask(str(CLI), "CONFIG", "GET", "dir", "dbfilename").split()
    found = dict(zip(settings[::2], settings[1::2]))
    return Path(found["dir"], found["dbfilename"])


def shards(said: Iterable[Any]) -> list[dict[str, Any]]:
    """The shards that have slots, by their first one, from what CLUSTER SHARDS says as JSON: `slots`, address and `id`
    of the `primary`, addresses of the `replicas` that are online. Raises SystemExit when a slot has no such primary.
    """
    found = []
    for shard in said:
        numbers = shard["slots"]
        nodes = [node for node in shard["nodes"] if node["health"] == "online"]
        leads = [node for node in nodes if node["role"] == "master"]
        if numbers and leads:
            found.append(
                {
                    "slots": sorted(zip(numbers[::2], numbers[1::2])),
                    "primary": where(leads[0]),
                    "id": leads[0]["id"],
                    "replicas": sorted(where(node) for node in nodes if node["role"] != "master"),
                }
            )
    found.sort(key=lambda shard: shard["slots"])
    problem = gap([pair for shard in found for pair in shard["slots"]])
    if problem:
        raise SystemExit(f"{problem}; a copy without them would be none")
    return found


def where(node: dict[str, Any]) -> str:
    """`host:port` of a node in CLUSTER SHARDS."""
    port = node.get("tls-port") or node["port"]
    return f"[{node['ip']}]:{port}" if ":" in node["ip"] else f"{node['ip']}:{port}"


def gap(pairs: Sequence[Sequence[int]]) -> str:
    """What is wrong with ranges of slots that should be all there are, each of them once; empty when nothing is."""
    end = 0
    for first, last in sorted((pair[0], pair[1]) for pair in pairs):
        if first > end:
            return f"no primary that answers has the slots {end}-{first - 1}"
        if first < end or last < first:
            return f"slot {first} is there twice"
        end = last + 1
    return "" if end == SLOTS else f"no primary that answers has the slots {end}-{SLOTS - 1}"


def member(address: str) -> list[str]:
    """redis-cli at another member; the last port and host that it reads are the ones that count."""
    host, _, port = address.rpartition(":")
    return [str(CLI), "-h", host.strip("[]"), "-p", port]


def replication(address: str) -> dict[str, str]:
    """What a member says of its replication."""
    lines = ask(*member(address), "INFO", "replication").split()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def source(shard: dict[str, Any]) -> str:
    """The member whose data are copied: a replica that has all that the primary had just now, else the primary."""
    wanted = int(replication(shard["primary"])["master_repl_offset"])
    end = time.monotonic() + SYNC
    while shard["replicas"] and time.monotonic() < end:
        for replica in shard["replicas"]:
            facts = replication(replica)
            if facts.get("master_link_status") == "up" and int(facts.get("slave_repl_offset", 0)) >= wanted:
                return str(replica)
        time.sleep(0.2)
    return str(shard["primary"])


def topology() -> list[dict[str, Any]]:
    """The shards, as this member knows them. Raises SystemExit when they are not whole, or slots are on the move."""
    found = shards(json.loads(ask(str(CLI), "--json", "CLUSTER", "SHARDS")))
    for shard in found:
        own = [line for line in ask(*member(shard["primary"]), "CLUSTER", "NODES").splitlines() if "myself" in line]
        if "[" in "".join(own).partition(" connected")[2]:
            raise SystemExit(f"slots of {shard['primary']} are on the move; a copy is made when that is done")
    return found


def copy_shards(place: Path) -> dict[str, Any] | None:
    """Fetch the data of every shard as a replica does; what the copy is. None when another member makes it.

    The shards are copied one after the other: each is whole by itself, not all of them at one moment.
    """
    found = topology()
    if found[0]["id"] != ask(str(CLI), "CLUSTER", "MYID").strip():
        return None
    known = dict(line.split(":", 1) for line in ask(str(CLI), "CLUSTER", "INFO").split() if ":" in line)
    for shard in found:
        chosen, file = source(shard), f"slots-{shard['slots'][0][0]:05}.rdb"
        ask(*member(chosen), "--rdb", str(place / file))
        ask("redis-check-rdb", str(place / file))
        shard.update(source=chosen, file=file, keys=int(ask(*member(chosen), "DBSIZE")))
        shard["bytes"] = (place / file).stat().st_size
    if [shard["slots"] for shard in topology()] != [shard["slots"] for shard in found]:
        raise SystemExit("slots moved while they were copied; the next round makes a copy")
    return {
        "keys": sum(shard["keys"] for shard in found),
        "bytes": sum(shard["bytes"] for shard in found),
        "epoch": int(known["cluster_current_epoch"]),
        "shards": found,
    }


def copy(place: Path) -> dict[str, Any] | None:
    """Copy a new snapshot of the only primary; what it is. None when another member makes the copy."""
    if not leads(ask(str(CLI), "ROLE")):
        return None
    file = place / SNAPSHOT
    shutil.copyfile(snapshot(), file)
    ask("redis-check-rdb", str(file))
    return {"keys": int(ask(str(CLI), "DBSIZE")), "bytes": file.stat().st_size}


def main() -> int:
    """Write the copy, have it checked, and say what it is."""
    os.umask(0o077)
    clustered = "cluster_enabled:1" in ask(str(CLI), "INFO", "cluster")
    figures = (copy_shards if clustered else copy)(Path(sys.argv[1]))
    if figures is None:
        return NOT_MY_TURN
    print(json.dumps({"version": version(ask(str(CLI), "INFO", "server")), **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
