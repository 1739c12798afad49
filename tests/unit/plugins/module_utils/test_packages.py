# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages: what is missing, what apt plans, and the policy that keeps services down."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _packages
from ansible_collections.holdfast.platform.plugins.module_utils._packages import OURS, missing, planned
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

THEIRS = b"#!/bin/sh\nexit 101\n"
ASIDE = "policy-rc.d.kept-by-holdfast"


@pytest.mark.parametrize(
    ("names", "status", "expected"),
    [
        ([], "", []),
        (["etcd-server"], "", ["etcd-server"]),
        (["etcd-server"], "ii  etcd-server\n", []),
        (["etcd-server"], "hi  etcd-server\n", []),
        pytest.param(["etcd-server"], "rc  etcd-server\n", ["etcd-server"], id="removed, configuration left"),
        pytest.param(["etcd-server"], "un  etcd-server\n", ["etcd-server"], id="only known by name"),
        pytest.param(["etcd-server"], "iU  etcd-server\n", ["etcd-server"], id="unpacked by a run that was killed"),
        pytest.param(["etcd-server"], "iF  etcd-server\n", ["etcd-server"], id="half configured"),
        pytest.param(["etcd"], "ii  etcd-server\n", ["etcd"], id="not by the beginning of a name"),
        (["c", "a", "b"], "ii  a\n", ["c", "b"]),
    ],
)
def test_missing(names: list[str], status: str, expected: list[str]) -> None:
    assert missing(names, status) == expected


SIMULATION = """NOTE: This is only a simulation!
The following NEW packages will be installed:
  etcd-client etcd-server
Inst etcd-server (3.5.16-4 Debian:13.0/stable [amd64])
Inst libc6 [2.41-1] (2.41-2 Debian:13.0/stable [amd64])
Inst etcd-client (3.5.16-4 Debian:13.0/stable [amd64])
Conf libc6 (2.41-2 Debian:13.0/stable [amd64])
Conf etcd-server (3.5.16-4 Debian:13.0/stable [amd64])
Remv etcd [3.4]
"""


@pytest.mark.parametrize(
    ("simulation", "expected"), [("", []), (SIMULATION, ["etcd-client", "etcd-server", "libc6"])], ids=["none", "some"]
)
def test_planned(simulation: str, expected: list[str]) -> None:
    assert planned(simulation) == expected


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the policy is on this test's host."""
    monkeypatch.setattr(_packages, "POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "policy-rc.d"


def lay(policy: Path, files: dict[str, bytes]) -> None:
    """Put files beside the policy."""
    for name, content in files.items():
        (policy.parent / name).write_bytes(content)
        (policy.parent / name).chmod(0o755 if content == OURS else 0o700)


def found(policy: Path) -> dict[str, bytes]:
    """Return what lies beside the policy."""
    return {path.name: path.read_bytes() for path in policy.parent.iterdir()}


CASES = [
    pytest.param({}, {}, id="none"),
    pytest.param({"policy-rc.d": THEIRS}, {"policy-rc.d": THEIRS}, id="the host's own"),
    pytest.param({"policy-rc.d": OURS}, {}, id="left by a run that was killed"),
    pytest.param(
        {"policy-rc.d": OURS, ASIDE: THEIRS}, {"policy-rc.d": THEIRS}, id="left, with the host's own put aside"
    ),
    pytest.param({ASIDE: THEIRS}, {"policy-rc.d": THEIRS}, id="killed between the two"),
    pytest.param(
        {"policy-rc.d": b"#!/bin/sh\nexit 0\n", ASIDE: THEIRS},
        {"policy-rc.d": b"#!/bin/sh\nexit 0\n"},
        id="the host's own, made anew after a kill",
    ),
]


@pytest.mark.parametrize(("before", "after"), CASES)
@pytest.mark.parametrize("works", [True, False])
def test_services_stay_down(policy: Path, before: dict[str, bytes], after: dict[str, bytes], works: bool) -> None:
    lay(policy, before)
    with contextlib.nullcontext() if works else pytest.raises(Failed), _packages.services_stay_down():
        assert policy.read_bytes() == OURS
        assert policy.stat().st_mode & 0o777 == 0o755
        if not works:
            raise Failed("the installation fails")
    assert found(policy) == after
    if after:
        assert policy.stat().st_mode & 0o777 == 0o700, "its mode comes back too"


@pytest.mark.parametrize(("before", "after"), CASES[:5])
def test_services_are_allowed_again_after_a_kill(
    policy: Path, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    lay(policy, before)
    _packages.allow_services()
    assert found(policy) == after


def test_a_policy_that_is_a_link_comes_back_as_one(policy: Path, tmp_path: Path) -> None:
    policy.symlink_to("nowhere")
    with _packages.services_stay_down():
        assert policy.read_bytes() == OURS
    assert policy.is_symlink()
    assert list(tmp_path.iterdir()) == [policy]


@pytest.mark.parametrize(
    ("lies", "refused"),
    [
        pytest.param({}, "", id="no data yet"),
        pytest.param({"17": "17\n"}, "", id="its own"),
        pytest.param({"17": "17\n", "18": "18\n"}, r"18/holdfast/PG_VERSION says 18", id="a newer one beside it"),
        pytest.param(
            {"15": "15\n"}, r"^postgresql_version is 17, and .*15/holdfast/PG_VERSION says 15", id="an older one"
        ),
    ],
)
def test_data_of_another_version(tmp_path: Path, lies: dict[str, str], refused: str) -> None:
    for version, text in lies.items():
        (tmp_path / version / "holdfast").mkdir(parents=True)
        (tmp_path / version / "holdfast/PG_VERSION").write_text(text, encoding="utf-8")
    given = {"files": f"{tmp_path}/*/holdfast/PG_VERSION", "version": "17", "key": "postgresql_version"}
    with pytest.raises(Failed, match=refused) if refused else contextlib.nullcontext():
        _packages.insist(**given)


def test_write_before(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "createcluster.d" / "holdfast.conf"
    for content in ("create_main_cluster = false\n", "größer\n"):
        _packages.write_before({str(path): content})
        assert path.read_text(encoding="utf-8") == content
