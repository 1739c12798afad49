# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images on a host: what containerd has of them in the namespace of Kubernetes, and importing the rest.

An image is there when its reference is, and is of the id (the digest of its configuration) that the mirror names. The
CRI plugin keeps a second reference for every image, which is that id; so one list tells both.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _artifact
from ansible_collections.holdfast.platform.plugins.module_utils._bundle_wire import hash_file
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

CTR = ("/usr/local/bin/ctr", "--namespace", "k8s.io")
PINNED = "io.cri-containerd.pinned"
"""The label by which the kubelet knows what it must not remove when the disk gets full: no registry may give it back
(containerd, internal/cri/labels)."""
HOSTS = "/etc/containerd/certs.d"
SEEN = 30
"""Seconds in which the CRI plugin has to have seen an image that was imported."""


@dataclass(frozen=True)
class Image:
    """An image that has to be there. Where the mirror has no archive of it, id and sha256 are empty."""

    name: str
    reference: str
    id: str = ""
    sha256: str = ""
    size: int = 0
    url: str = ""


def wanted(given: Sequence[Mapping[str, Any]], architecture: str) -> list[Image]:
    """Read what the controller sends: {name, reference, offers: {architecture: {id, sha256, size, url}}} each."""
    return [Image(one["name"], one["reference"], **one["offers"].get(architecture, {})) for one in given]


def parse(shown: str) -> dict[str, str]:
    """What `ctr images ls` printed, as {reference: digest of its manifest}."""
    rows = [line.split() for line in shown.splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def superseded(shown: str, images: Sequence[Image]) -> list[str]:
    """Pinned images that others of the same name came after, from what `ctr images ls` printed: they may go."""
    names = {image.reference.rpartition(":")[0] for image in images}
    wanted = {image.reference for image in images}
    pinned = [row.split()[0] for row in shown.splitlines() if f"{PINNED}=pinned" in row]
    return [one for one in pinned if one.rpartition(":")[0] in names and one not in wanted]


def found() -> dict[str, str] | None:
    """What containerd has, as `parse` gives it; None where it does not run."""
    try:
        done = run([*CTR, "images", "ls"], timeout=60, check=False)
    except Failed:  # not installed yet
        return None
    return None if done.status else parse(done.out)


def lacking(images: Sequence[Image], has: Mapping[str, str] | None) -> list[Image]:
    """The images that containerd does not have, or has with other contents."""
    has = has or {}
    return [image for image in images if not _there(image, has)]


def _there(image: Image, has: Mapping[str, str]) -> bool:
    return image.reference in has and (not image.id or has.get(image.id) == has[image.reference])


def insist(images: Sequence[Image], architecture: str, *, pull: bool) -> None:
    """Raise Failed when there is no way to get one of these images."""
    gone = [image for image in images if not image.sha256]
    if gone and not pull:
        raise Failed(
            f"{', '.join(image.reference for image in gone)} for {architecture}: the mirror has no archive; fill it "
            "(`make mirror`, or playbooks/mirror.yml with mirror_source=build), or let hosts pull (pull: true)"
        )


def bring(images: Sequence[Image], files: Mapping[str, str]) -> None:
    """Import archives, all checked before the first one; pull what the mirror has no archive of.

    What was imported the kubelet does not remove, until it is of another version.

    :raises Failed: an archive is damaged, or containerd refuses it.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="holdfast-images-") as directory:  # noqa: S108 - private
        archives = {image.sha256: _archive(image, files, directory) for image in images if image.sha256}
        for image in images:
            if image.sha256:
                archive = str(archives[image.sha256])
                # Not through containerd's transfer service, which takes twice the time.
                run([*CTR, "images", "import", "--local", "--label", f"{PINNED}=pinned", archive], timeout=900)
            else:
                run([*CTR, "images", "pull", "--hosts-dir", HOSTS, image.reference], timeout=1800)
    for reference in superseded(run([*CTR, "images", "ls"]).out, images):
        run([*CTR, "images", "label", reference, f"{PINNED}="])
    if still := until(lambda: [image.reference for image in lacking(images, found())], SEEN):
        raise Failed(f"{', '.join(still)}: imported, and containerd does not show it with the id that the mirror names")


def _archive(image: Image, files: Mapping[str, str], directory: str) -> Path:
    """An image's archive on this host, checked: brought here, or fetched into a directory."""
    where = files.get(image.sha256) or image.url
    archive = Path(where)
    try:
        if not where.startswith("/"):
            archive = Path(directory, image.sha256)
            with _artifact.opened(where) as source, archive.open("wb") as copy:
                shutil.copyfileobj(source, copy, _artifact.CHUNK)
        actual, _ = hash_file(archive)
    except OSError as error:
        raise Failed(f"{image.reference}: {where}: {error}") from error
    if actual != image.sha256:
        raise Failed(f"{image.reference}: {where} is damaged: its sum is {actual}, expected {image.sha256}")
    return archive
