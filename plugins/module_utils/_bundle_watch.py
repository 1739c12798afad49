# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watch: a timer on the host that takes a transaction back unless the controller confirms it.

The engine is copied beside the bundle's state, so that the timer needs neither the controller nor Ansible, and still
runs the code that wrote the journal. Timer and service are unit files and enabled: a reboot does not stop them.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

from ._bundle_plan import Refused
from ._bundle_store import Store

UNITS = Path("/etc/systemd/system")
MODULES = ("_bundle", "_bundle_diff", "_bundle_files", "_bundle_plan", "_bundle_sandbox", "_bundle_store",
           "_bundle_watch", "_bundle_wire")  # fmt: skip

SERVICE = """\
[Unit]
Description=Take back bundle {name}, which nobody has confirmed
ConditionPathExists={journal}

[Service]
Type=oneshot
ExecStart={python} -B {program} {name} {txid}
Restart=on-failure
RestartSec=5s
"""

TIMER = """\
[Unit]
Description=Take back bundle {name} unless it is confirmed

[Timer]
OnActiveSec={seconds}s
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

PROGRAM = """\
import sys

sys.path.insert(0, {directory!r})
from engine._bundle import take_back

take_back(sys.argv[1], sys.argv[2])
"""


def unit(name: str) -> str:
    return f"holdfast-bundle-{name}"


def arm(store: Store, txid: str, seconds: int) -> None:
    """Start the timer. Raises Refused when the host has no systemd to do it, OSError."""
    if not Path("/run/systemd/system").is_dir():
        raise Refused("confirm_within needs a host that runs systemd; nothing has been changed.")
    engine = store.watch / "engine"
    engine.mkdir(mode=0o700, parents=True, exist_ok=True)
    (engine / "__init__.py").write_text("")
    for name in MODULES:
        module = importlib.import_module(f".{name}", __package__)
        loader = getattr(module, "__loader__")  # noqa: B009 - a zip archive or a directory, both have get_source
        (engine / f"{name}.py").write_text(loader.get_source(module.__name__), encoding="utf-8")
    program = store.watch / "take_back.py"
    program.write_text(PROGRAM.format(directory=str(store.watch)), encoding="utf-8")
    fields = {
        "name": store.name, "txid": txid, "seconds": seconds, "python": sys.executable, "program": program,
        "journal": store.directory / "journal.json",
    }  # fmt: skip
    for suffix, text in (("service", SERVICE), ("timer", TIMER)):
        path = UNITS / f"{unit(store.name)}.{suffix}"
        path.write_text(text.format(**fields), encoding="utf-8")
        path.chmod(0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", f"{unit(store.name)}.timer")


def disarm(store: Store) -> None:
    """Stop the timer and remove what belongs to it. Does nothing when there is none."""
    paths = [UNITS / f"{unit(store.name)}.{suffix}" for suffix in ("timer", "service")]
    if any(path.exists() for path in paths):
        # a timer that could not be stopped finds no journal, and does nothing
        with contextlib.suppress(Refused):
            _systemctl("disable", "--now", f"{unit(store.name)}.timer")
        for path in paths:
            path.unlink(missing_ok=True)
        with contextlib.suppress(Refused):
            _systemctl("daemon-reload")
    shutil.rmtree(store.watch, ignore_errors=True)


def _systemctl(*arguments: str) -> None:
    argv: list[str] = ["systemctl", "--quiet", *arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    if done.returncode:
        raise Refused(f"`{' '.join(argv)}` failed: {done.stdout.decode(errors='replace').strip()}")
