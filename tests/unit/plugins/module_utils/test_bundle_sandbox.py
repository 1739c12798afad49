# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which directories the private view covers. The view itself is tested on hosts: tests/integration/bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_sandbox as sandbox

MOUNTINFO = r"""
23 28 0:21 / /proc rw shared:12 - proc proc rw
28 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 28 8:2 / /etc/a rw - ext4 /dev/sda2 rw
31 30 8:3 / /etc/a/inner rw - ext4 /dev/sda3 rw
32 28 8:4 / /etc/with\040space rw - ext4 /dev/sda4 rw
33 28 8:5 / /etcetera rw - ext4 /dev/sda5 rw
""".strip()


@pytest.mark.parametrize(
    ("root", "inside"),
    [("/etc", ["/etc/a", "/etc/with space"]), ("/etc/a", ["/etc/a/inner"]), ("/srv", []), ("/etc/a/inner", [])],
)
def test_submounts(root: str, inside: list[str]) -> None:
    assert sandbox.submounts(root, MOUNTINFO) == inside


def test_covered_roots(tmp_path: Path) -> None:
    """A directory inside another one of the same file system is covered along with it; the root never is."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    found = sandbox.covered_roots([inner, tmp_path / "a", tmp_path / "ab", Path("/")])
    assert found == [str(tmp_path / "a"), str(tmp_path / "ab")]
    assert sandbox.covered_roots([Path("/proc"), Path("/proc/sys")]) == ["/proc"]


def test_nearest_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for path in ("x", "not/there/x", "link/x", "link/not/x", "file/x"):
        assert sandbox.nearest_directory(str(tmp_path / path)) == tmp_path.resolve()
