# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for values of the site's secrets where they must not be: processes, output, logs, files that others can read.

What is found is named by its secret and place; the value itself is never printed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible.parsing.dataloader import DataLoader

from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles
from tests.lab.running import RunningLab

from .sampler import READY

#: Files of hosts that are searched whoever can read them: logs, and what Ansible may leave.
WRITTEN = "/var/log /tmp /var/tmp /root/.ansible /home/*/.ansible /root/.*_history /home/*/.*_history"
#: What packages bring, and nobody writes to. A search of everything looks there too.
PACKAGED = ("/usr", "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt")

#: Where etcdctl and redis-cli take a password from, if not from a command line. Only root sees it of root's processes.
ACCEPTED = {("environ", 0, "ETCDCTL_USER"), ("environ", 0, "REDISCLI_AUTH")}

# The needles come on standard input: they are on no command line, and their file is for root alone.
_HOST = """
umask 077; export LC_ALL=C
needles=$(mktemp -p /run); trap 'rm -f "$needles"' EXIT; cat > "$needles"
search() { grep -aoFH --binary-files=text -f "$needles" "$@" || test $? = 1; }
journalctl --no-pager --quiet --all --output=export | search --label=journal - | sort -u
find WRITTEN -type f -print0 2> /dev/null | xargs -0 -r grep -aoFH -f "$needles" | sort -u
find / '(' -path /proc -o -path /sys -o -path /dev/pts PRUNE ')' -prune -o -type f -perm -o+r -print0 2> /dev/null \
    | xargs -0 -r grep -aoFHs -f "$needles" | sort -u
true
"""


def values(lab: RunningLab) -> dict[str, set[str]]:
    """Every version of every secret of the lab's site, by path; certificates are no secrets."""
    store = VaultFiles(lab.lab.home / "secrets", Passwords(DataLoader(), str(lab.lab.home / "vault-password")))
    return {
        f"{owner}/{name}": set(secret.versions())
        for owner in store.owners()
        for name, secret in store.read(owner).items()
        if not name.endswith("_certificate")
    }


def needles(secrets: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The texts that would betray a value, each with its secret's path.

    A value; its base64, wherever it stands in what was encoded (so the three ways in which its bits can lie); as a part
    of a URL. Keys of several lines count by each line that holds bits of the key.
    """
    found: dict[str, str] = {}
    for path, versions in secrets.items():
        for value in versions:
            data = value.encode()
            forms = {line for line in value.splitlines() if _telling(line)} | {quote(value, safe="")}
            for shift in range(3):
                encoded = base64.b64encode(b"\0" * shift + data).decode()
                # The first and last letters hold bits of what is around the value.
                forms.add(encoded[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6])
            found |= dict.fromkeys((form for form in forms if len(form) >= 8), path)
    return found


def _telling(line: str) -> bool:
    """Whether a line of a value holds bits of it: every OpenSSH key begins alike (PROTOCOL.key of OpenSSH)."""
    return "-----" not in line and not line.startswith("b3BlbnNzaC1rZXkt")


@dataclass
class Watch:
    """What was seen of a lab's processes, and of the controller's, while it was watched: a context manager."""

    lab: RunningLab
    file: Path
    samples: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Watch:
        sampler = Path(__file__).with_name("sampler.py")
        self._process = subprocess.Popen(
            [sys.executable, str(sampler), str(self.file), *spaces(self.lab)], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not (self.file.exists() and READY in self.file.read_text()):
            assert self._process.poll() is None, "the sampler ended"
            assert time.monotonic() < deadline, "the sampler writes nothing"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "the sampler ended before its time"
        self._process.terminate()
        self._process.wait()
        self.samples = [json.loads(line) for line in self.file.read_text().splitlines() if f"{line}\n" != READY]
        self.file.unlink()


def spaces(lab: RunningLab) -> dict[str, str]:
    """The hosts, and the controller, by their PID namespaces."""
    found = {os.readlink("/proc/self/ns/pid"): "controller"}  # noqa: PTH115
    for name, container in lab.containers.items():
        container.reload()
        found[os.readlink(f"/proc/{container.attrs['State']['Pid']}/ns/pid")] = name  # noqa: PTH115
    return found


def in_processes(watch: Watch, needles: Mapping[str, str]) -> list[str]:
    """Values on command lines and in environments, of the lab's hosts and of this machine's own processes.

    Fails when a host was not seen at all: then there was nothing to find.
    """
    hosts = spaces(watch.lab)
    looked = {hosts[sample["space"]] for sample in watch.samples}
    assert looked == set(hosts.values()), f"no process was seen of {sorted(set(hosts.values()) - looked)}"
    return sorted(
        {
            f"{hosts[sample['space']]}: {_program(sample, part)}: {path}"
            for sample in watch.samples
            for part in sample["parts"]
            for path in within(part, needles)
            if (sample["kind"], sample["user"], part.partition("=")[0]) not in ACCEPTED
        }
    )


def _program(sample: Mapping[str, Any], part: str) -> str:
    if sample["kind"] == "cmdline":
        return f"cmdline of process {sample['pid']} ({Path(sample['parts'][0]).name[:40]})"
    return f"environ of process {sample['pid']} of user {sample['user']} ({part.partition('=')[0][:40]})"


def within(text: str, needles: Mapping[str, str]) -> set[str]:
    """The secrets of which a text holds something."""
    return {path for needle, path in needles.items() if needle in text}


def on_hosts(lab: RunningLab, needles: Mapping[str, str], *, everything: bool) -> list[str]:
    """Values in journals, logs, Ansible's leftovers and files that everybody can read, of all hosts."""
    prune = "" if everything else " ".join(f"-o -path {path}" for path in PACKAGED)
    script = _HOST.replace("WRITTEN", WRITTEN).replace("PRUNE", prune)

    def search(host: str) -> list[str]:
        output = lab.run(host, script, stdin="".join(f"{needle}\n" for needle in needles), timeout=600)
        pairs = (line.rsplit(":", 1) for line in output.splitlines())
        return [f"{host}: {place}: {needles.get(needle, '?')}" for place, needle in pairs]

    with ThreadPoolExecutor(2) as pool:
        return sorted({line for found in pool.map(search, lab.containers) for line in found})


def in_files(places: Iterable[Path], needles: Mapping[str, str]) -> list[str]:
    """Values in files of the controller, and below directories."""
    found = []
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            with contextlib.suppress(OSError):
                if file.is_file():
                    text = file.read_bytes().decode(errors="replace")
                    found += [f"controller: {file}: {path}" for path in sorted(within(text, needles))]
    return found


@contextlib.contextmanager
def private() -> Iterator[Path]:
    """A directory for nobody but this user, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="holdfast-leaks-") as directory:
        yield Path(directory)
