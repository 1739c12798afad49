# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendors' releases: where they are, and that nothing is taken which is not what the vendor's list says."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _artifact_release

SUM = "a" * 64
OTHER = "b" * 64


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{SUM}", SUM),
        (f"{SUM.upper()}\n", SUM),
        (f"{OTHER}  other.tgz\n{SUM}  demo.tgz\n", SUM),
        (f"{SUM} *demo.tgz\n", SUM),
        (f"{SUM}  release/demo.tgz\n", SUM),
        (f"{OTHER}  other.tgz\n", "no SHA-256 for demo.tgz"),
        (f"{SUM}  demo.tgz\n{OTHER}  demo.tgz\n", "several sums for demo.tgz"),
        ("<html>not found</html>", "no SHA-256 for demo.tgz"),
        ("", "no SHA-256 for demo.tgz"),
    ],
)
def test_the_sum_is_found_in_what_vendors_publish(text: str, found: str) -> None:
    if len(found) == 64:
        assert _artifact_release.sum_of(text, "demo.tgz") == found
    else:
        with pytest.raises(Failed, match=found):
            _artifact_release.sum_of(text, "demo.tgz")


def test_one_archive_is_downloaded_once_and_each_program_by_itself() -> None:
    lock = _artifact_lock.load()
    (etcd,) = _artifact_release.downloads(lock.artifacts["etcd"], "arm64")
    assert etcd.url.endswith("/v3.6.8/etcd-v3.6.8-linux-arm64.tar.gz")
    assert etcd.programs["etcdutl"] == "etcd-v3.6.8-linux-arm64/etcdutl"
    kubernetes = _artifact_release.downloads(lock.artifacts["kubernetes"], "amd64")
    assert [download.url.rpartition("/")[2] for download in kubernetes] == ["kubeadm", "kubelet", "kubectl"]


def artifact(directory: Path, sums: str, pinned: dict[str, str] | None = None) -> _artifact_lock.Artifact:
    """A vendor that publishes one archive with the program `bin/demo`, here in a directory."""
    with tarfile.open(directory / "demo.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("bin/demo")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"demo"))
    (directory / "sums").write_text(sums.format(sum=digest(directory)), encoding="utf-8")
    url = f"file://{directory}"
    release = _artifact_lock.Release(f"{url}/demo.tgz", f"{url}/sums", "bin/{program}", pinned or {})
    return _artifact_lock.Artifact("demo", "1.0.0", "1.26.8", ["demo"], "/usr/local/bin", release, None, [])


def digest(directory: Path) -> str:
    return hashlib.sha256((directory / "demo.tgz").read_bytes()).hexdigest()


def fetch(directory: Path, demo: _artifact_lock.Artifact) -> Path:
    work, output = directory / "work", directory / "output"
    work.mkdir()
    output.mkdir()
    _artifact_release.fetch(demo, "amd64", work, output)
    return output / "demo"


def test_a_program_is_fetched_when_the_vendors_sum_is_right(tmp_path: Path) -> None:
    program = fetch(tmp_path, artifact(tmp_path, "{sum}  demo.tgz\n"))
    assert program.read_bytes() == b"demo"
    assert program.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("sums", "pinned", "told"),
    [
        (f"{SUM}  demo.tgz", {}, f"sums says {SUM}"),
        ("{sum}  demo.tgz", {"demo.tgz": SUM}, f"the lock file says {SUM}"),
        ("{sum}  other.tgz", {}, "no SHA-256 for demo.tgz"),
    ],
)
def test_a_program_is_refused_when_it_is_not_what_it_should_be(
    tmp_path: Path, sums: str, pinned: dict[str, str], told: str
) -> None:
    with pytest.raises(Failed, match=told):
        fetch(tmp_path, artifact(tmp_path, sums, pinned))
    assert list((tmp_path / "output").iterdir()) == []


def test_what_can_not_be_reached_is_told_with_the_way_out(tmp_path: Path) -> None:
    demo = artifact(tmp_path, "{sum}")
    (tmp_path / "demo.tgz").unlink()
    with pytest.raises(Failed, match=r"demo\.tgz: .*build it \(FROM=build\)"):
        fetch(tmp_path, demo)
