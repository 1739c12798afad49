# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lynis hardening index of a lab host with the whole site on it, and of what it complains.

An index for comparison between changes, not a goal of its own: containers lose points for kernel settings, boot
loader and partitions, which belong to the machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "data-a1"
AUDIT = (
    "command -v lynis >/dev/null || sudo apt-get -qy install --no-install-recommends lynis >/dev/null; "
    "sudo lynis audit system --quick --no-colors --no-log >/dev/null; sudo cat /var/log/lynis-report.dat"
)


def main() -> int:
    """Audit one host; print the index and the warnings. Fails when the audit gave no index."""
    lab = os.environ.get("HOLDFAST_LAB", "holdfast")
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab", "--lab", lab, "ssh", HOST, AUDIT],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    index = re.search(r"^hardening_index=(\d+)$", done.stdout, re.MULTILINE)
    if index is None:
        print(f"no hardening index: {done.stderr or done.stdout}"[:500])
        return 1
    warnings = re.findall(r"^warning\[\]=(\S+?)\|([^|]*)", done.stdout, re.MULTILINE)
    print(f"Lynis hardening index of {HOST}: {index[1]} of 100, {len(warnings)} warnings")
    for name, text in warnings:
        print(f"  {name}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
