# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Newer packages to upgrade to: those of the archive with a higher version, and nothing else changed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from .conftest import RunningLab

LIST = "/etc/apt/sources.list.d/newer.list"

# Prints a local repository as a tar archive.
REBUILD = r"""
set -e
rm -rf /var/tmp/newer && mkdir -p /var/tmp/newer/out && cd /var/tmp/newer
for name in $PACKAGES; do
  # What the archive has: what is installed may be an earlier product of this script.
  apt-get -qq download "$name=$(apt-cache madison "$name" | cut -d'|' -f2 | tr -d ' ' | head -n 1)" 2>/dev/null
done
for deb in *.deb; do
  dpkg-deb -R "$deb" tree
  sed -i "s/^Version: .*/&+lab$SUFFIX/" tree/DEBIAN/control
  for name in $PACKAGES; do  # some want each other in the very same version
    sed -i "/Depends:/s/\b$name (= [^)]*/&+lab$SUFFIX/" tree/DEBIAN/control
  done
  dpkg-deb -Zgzip -z1 -b tree "out/$deb" >/dev/null
  rm -rf tree
done
cd out
for deb in *.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
tar -cf - .
"""
INSTALL = f"""
set -e
rm -rf /srv/newer && mkdir -p /srv/newer && tar -C /srv/newer -xf -
echo 'deb [trusted=yes] file:/srv/newer ./' > {LIST}
"""


def _root(lab: RunningLab, host: str, script: str, data: bytes = b"") -> bytes:
    argv = ["docker", "exec", "-i", str(lab.containers[host].name), "bash", "-c", script]
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True, timeout=300).stdout


def offer(lab: RunningLab, hosts: Sequence[str], packages: Sequence[str], suffix: str) -> None:
    """Let apt on hosts know packages whose versions end with +lab and suffix."""
    withdraw(lab, hosts[:1])
    archive = _root(lab, hosts[0], f"PACKAGES='{' '.join(packages)}' SUFFIX={suffix}\n{REBUILD}")
    for host in hosts:
        _root(lab, host, INSTALL, archive)


def withdraw(lab: RunningLab, hosts: Sequence[str]) -> None:
    """Let apt on hosts forget them."""
    for host in hosts:
        lab.run(host, f"rm -rf /srv/newer /var/tmp/newer {LIST}; apt-get -q update", timeout=180)


def versions(lab: RunningLab, hosts: Sequence[str], packages: Sequence[str]) -> dict[str, dict[str, str]]:
    """Installed versions: {host: {package: version}}."""
    shown = {host: lab.run(host, f"dpkg-query -W {' '.join(packages)}") for host in hosts}
    return {host: dict(line.split("\t") for line in text.splitlines()) for host, text in shown.items()}
