# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees and settings, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _bundle_request as request


@pytest.fixture
def role(tmp_path: Path) -> Path:
    for name in (
        "templates/etc/x/main.conf.j2", "templates/etc/x/plain", "templates/_macros.j2", "templates/etc/_part/x",
        "files/etc/x/raw.j2", "files/usr/local/bin/tool",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def test_discover(role: Path) -> None:
    found = request.discover(role)
    assert sorted(found) == ["/etc/x/main.conf", "/etc/x/plain", "/etc/x/raw.j2", "/usr/local/bin/tool"]
    assert found["/etc/x/main.conf"].template == role / "templates/etc/x/main.conf.j2"
    assert found["/etc/x/raw.j2"].file == role / "files/etc/x/raw.j2"


def test_two_sources_of_one_path(role: Path) -> None:
    (role / "files/etc/x/main.conf").write_text("x")
    with pytest.raises(request.BundleError, match=r"/etc/x/main\.conf has two sources"):
        request.discover(role)


def assemble(role: Path, files: dict[str, Any], **defaults: Any) -> dict[str, request.Entry]:
    return request.assemble(request.discover(role), defaults, files, role)


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ({}, "/etc/x/main.conf", ("root", 0o644, None, "none")),
        ({"/etc/*": {"mode": "0600"}}, "/etc/x/main.conf", ("root", 0o600, None, "none")),
        ({"/etc/*": {"mode": "0600"}, "*.conf": {"mode": "0640"}}, "/etc/x/main.conf", ("root", 0o640, None, "none")),
        ({"/etc/x/main.conf": {"mode": "0400"}, "*": {"mode": "0640", "owner": "o"}}, "/etc/x/main.conf",
         ("o", 0o400, None, "none")),
        ({"*": {"unit": "u"}}, "/etc/x/plain", ("root", 0o644, "u", "restart")),
        ({"*": {"unit": "u", "effect": "reload"}}, "/etc/x/plain", ("root", 0o644, "u", "reload")),
        ({"/etc/x/plain": None}, "/etc/x/plain", ("root", 0o644, None, "none")),
    ],
)  # fmt: skip
def test_settings(role: Path, files: dict[str, Any], path: str, expected: tuple[Any, ...]) -> None:
    want = assemble(role, files)[path].want
    assert (want["owner"], want["mode"], want["unit"], want["effect"]) == expected


def test_contents_that_are_given(role: Path) -> None:
    files = {
        "/etc/text": {"content": "t\u00fc"},
        "/etc/bytes": {"base64": "AAE="},
        "/etc/again": {"template": "etc/x/plain"},
        "/etc/x/plain": {"content": "instead"},
        "/etc/not": {"content": "", "when": "no"},
        "/etc/empty": {"content": ""},
        "/usr/local/bin/tool": {"when": False},
    }
    entries = assemble(role, files)
    assert entries["/etc/text"].source.data == "t\u00fc".encode()
    assert entries["/etc/bytes"].source.data == b"\0\1"
    assert entries["/etc/again"].source.template == role / "templates/etc/x/plain"
    assert entries["/etc/x/plain"].source.data == b"instead"
    assert entries["/etc/empty"].source.data == b""
    assert not {"/etc/not", "/usr/local/bin/tool"} & set(entries)
    assert list(entries) == sorted(entries)


@pytest.mark.parametrize(
    ("files", "defaults", "message"),
    [
        (
            {"/etc/x/mian.conf": {}},
            {},
            r"files\[/etc/x/mian.conf\]: there is no template .*did you mean /etc/x/main.conf",
        ),
        ({"/nothing/*": {}}, {}, "the pattern matches no file"),
        ({"*": {"content": "x"}}, {}, "a pattern can't give content"),
        ({"*": {"mdoe": "0600"}}, {}, "mdoe is not known .did you mean mode"),
        ({}, {"unti": "x"}, "defaults: unti is not known .did you mean unit"),
        ({"*": {"mode": 420}}, {}, "mode is 420; it has to be a quoted octal number"),
        ({"*": {"mode": "u=rw"}}, {}, "mode is 'u=rw'"),
        ({"*": {"mode": "0999"}}, {}, "mode is '0999'"),
        ({"*": {"effect": "reload"}}, {}, "effect is reload but unit is not given"),
        ({"*": {"effect": "kick", "unit": "u"}}, {}, "effect is 'kick'; it has to be one of none, reload, restart"),
        ({"etc/x": {"content": "x"}}, {}, "it has to be an absolute path"),
        ({"/etc/../x": {"content": "x"}}, {}, "it has to be an absolute path"),
        ({"/etc/x/": {"content": "x"}}, {}, "it has to be an absolute path"),
        ({"/etc/n": {"content": "x", "base64": "eA=="}}, {}, "content and base64 exclude each other"),
        ({"/etc/n": {"content": {"a": 1}}}, {}, "content is a dict; it has to be text"),
        ({"/etc/n": {"base64": "?"}}, {}, "base64 can't be decoded"),
        ({"/etc/n": {"template": "nope"}}, {}, "template nope is not in"),
        ({"/etc/n": {"content": None}}, {}, "content is empty"),
        ({"*": {"when": "perhaps"}}, {}, "when is 'perhaps'; it has to be true or false"),
        ({"*": "0600"}, {}, "has to be a mapping"),
    ],
)
def test_wrong_settings(role: Path, files: dict[str, Any], defaults: dict[str, Any], message: str) -> None:
    with pytest.raises(request.BundleError, match=message):
        assemble(role, files, **defaults)


def test_directories() -> None:
    found = request.directories({"/etc/x": {"mode": "0750", "owner": "o"}, "/etc/a": None})
    assert list(found) == ["/etc/a", "/etc/x"]
    assert (found["/etc/x"]["mode"], found["/etc/x"]["owner"], found["/etc/a"]["mode"]) == (0o750, "o", 0o755)
    with pytest.raises(request.BundleError, match="content is not known"):
        request.directories({"/etc/x": {"content": "x"}})


OPTIONS: dict[str, Any] = {"keep": 5, "confirm_within": None, "activate": [], "generation": None, "state": "present"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"confirm_within": 1}, "confirm_within is 1; it has to be 5 to 3600"),
        ({"activate": [["x"]]}, "activate is given without confirm_within"),
        ({"generation": 3}, "generation is given without state: rolled_back"),
    ],
)
def test_limits(options: dict[str, Any], message: str) -> None:
    with pytest.raises(request.BundleError, match=message):
        request.check_limits({**OPTIONS, **options})
    request.check_limits(OPTIONS)


def test_commands_and_names() -> None:
    assert request.commands("validate", [["a", 1]]) == [["a", "1"]]
    wrongs: list[list[Any]] = [["a b"], [[]]]
    for wrong in wrongs:
        with pytest.raises(request.BundleError, match=r"validate\[0\]"):
            request.commands("validate", wrong)
    assert request.name("a-b_1") == "a-b_1"
    for bad in ("", "A", "../x", "-a", "a" * 65):
        with pytest.raises(request.BundleError):
            request.name(bad)
