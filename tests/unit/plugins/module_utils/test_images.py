# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on a host: what containerd has of them, and that nothing is imported before all of it was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _images
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed

SHOWN = """\
REF                          TYPE                                  DIGEST          SIZE    PLATFORMS   LABELS
registry.example/pause:3     application/vnd.oci.image.manifest.v1 sha256:manifest 1.4 MiB linux/amd64 -
sha256:configuration         application/vnd.oci.image.manifest.v1 sha256:manifest 1.4 MiB linux/amd64 a=b
"""
PAUSE = _images.Image("pause", "registry.example/pause:3", "sha256:configuration", "a" * 64)


def test_the_list_of_containerd_is_read() -> None:
    assert _images.parse(SHOWN) == {
        "registry.example/pause:3": "sha256:manifest",
        "sha256:configuration": "sha256:manifest",
    }
    assert _images.parse("REF TYPE DIGEST SIZE PLATFORMS LABELS\n") == {}


def test_only_older_ones_of_the_same_name_are_not_pinned_any_more() -> None:
    rows = ["REF TYPE DIGEST SIZE PLATFORMS LABELS"]
    for reference, labels in {
        "registry.example/pause:3": "io.cri-containerd.pinned=pinned",
        "registry.example/pause:2": "a=b,io.cri-containerd.pinned=pinned",
        "registry.example/pause:1": "a=b",
        "registry.example/other:2": "io.cri-containerd.pinned=pinned",
    }.items():
        rows.append(f"{reference} type sha256:m 1.4 MiB linux/amd64 {labels}")
    assert _images.superseded("\n".join(rows), [PAUSE]) == ["registry.example/pause:2"]


@pytest.mark.parametrize(
    ("has", "id_", "there"),
    [
        ({"registry.example/pause:3": "m", "sha256:configuration": "m"}, "sha256:configuration", True),
        ({"registry.example/pause:3": "m", "sha256:older": "m"}, "sha256:configuration", False),  # made anew
        ({"registry.example/pause:3": "m", "sha256:configuration": "n"}, "sha256:configuration", False),  # other tag
        ({"sha256:configuration": "m"}, "sha256:configuration", False),
        ({"registry.example/pause:3": "m"}, "", True),  # what it should be nobody knows
        ({}, "", False),
        (None, "sha256:configuration", False),  # containerd does not run
    ],
)
def test_an_image_is_there_by_reference_and_id(has: Mapping[str, str] | None, id_: str, there: bool) -> None:
    image = _images.Image("pause", "registry.example/pause:3", id_)
    assert _images.lacking([image], has) == ([] if there else [image])


def test_what_the_mirror_lacks_is_pulled_or_refused() -> None:
    given = [
        {"name": "pause", "reference": "registry.example/pause:3", "offers": {"arm64": {"id": "i", "sha256": "s"}}}
    ]
    (here,), (elsewhere,) = _images.wanted(given, "arm64"), _images.wanted(given, "amd64")
    assert (here.sha256, elsewhere.sha256) == ("s", "")
    _images.insist([here], "arm64", pull=False)
    _images.insist([elsewhere], "amd64", pull=True)
    with pytest.raises(Failed, match=r"registry\.example/pause:3 for amd64: the mirror has no archive; fill it"):
        _images.insist([elsewhere], "amd64", pull=False)


class Containerd:
    """Stands in for ctr: what is imported or pulled is there, under the id that the archive names."""

    def __init__(self) -> None:
        self.calls: list[Sequence[str]] = []
        self.rows = ["REF TYPE DIGEST"]

    def run(self, argv: Sequence[str], **_: Any) -> Done:
        said = argv[len(_images.CTR) :]
        if said[1] != "ls":
            self.calls.append(said[1:])
            name = Path(said[-1]).read_text() if said[1] == "import" else said[-1]
            self.rows += [f"{name} type {name}", f"sha256:{name} type {name}"]
        return Done(0, "\n".join(self.rows), "")


@pytest.fixture
def containerd(monkeypatch: pytest.MonkeyPatch) -> Containerd:
    double = Containerd()
    monkeypatch.setattr(_images, "run", double.run)
    monkeypatch.setattr(_images, "SEEN", 0)
    return double


def archive(directory: Path, name: str) -> _images.Image:
    path = directory / f"{name}.image.tar"
    path.write_text(name)
    return _images.Image(name, name, f"sha256:{name}", hashlib.sha256(name.encode()).hexdigest(), url=str(path))


def test_archives_are_imported_and_the_rest_is_pulled(tmp_path: Path, containerd: Containerd) -> None:
    images = [archive(tmp_path, "one"), _images.Image("two", "registry.example/two:1")]
    _images.bring(images, {})
    assert [call[0] for call in containerd.calls] == ["import", "pull"]
    assert _images.lacking(images, _images.found()) == []


def test_nothing_is_imported_when_one_archive_is_damaged(tmp_path: Path, containerd: Containerd) -> None:
    images = [archive(tmp_path, "one"), archive(tmp_path, "two")]
    Path(images[1].url).write_text("something else")
    with pytest.raises(
        Failed, match=r"two: .*two\.image\.tar is damaged: its sum is [0-9a-f]{64}, expected [0-9a-f]{64}"
    ):
        _images.bring(images, {})
    assert containerd.calls == []
    Path(images[1].url).unlink()
    with pytest.raises(Failed, match=r"two: .*two\.image\.tar: .*No such file"):
        _images.bring(images, {})


def test_an_import_that_shows_nothing_is_told(tmp_path: Path, containerd: Containerd) -> None:
    (other,) = [archive(tmp_path, "one")]
    image = _images.Image("one", "one", "sha256:expected", other.sha256)
    with pytest.raises(Failed, match="one: imported, and containerd does not show it with the id"):
        _images.bring([image], {other.sha256: other.url})
