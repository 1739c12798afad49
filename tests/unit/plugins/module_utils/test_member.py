# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member: the steps that its units need, and how it is asked whether it serves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _member
from ansible_collections.holdfast.platform.plugins.module_utils._member import Ready, Unit, ask, parse_units, plan
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

UP = Unit("etcd.service", "loaded", "active", "enabled", "notify")
DOWN = replace(UP, active="inactive")
NEW = Unit("etcd.service", "not-found", "inactive", "")
JOB = Unit("backup.service", "loaded", "inactive", "static", "oneshot")


@pytest.mark.parametrize(
    ("unit", "runs"),
    [
        (UP, True),
        (replace(UP, active="activating"), True),
        (replace(UP, active="reloading"), True),
        (replace(UP, active="deactivating"), False),
        (replace(UP, active="failed"), False),
        (DOWN, False),
        (NEW, False),
        (JOB, True),
        (replace(JOB, active="failed"), False),
        (replace(JOB, remains="yes"), False),
        (replace(JOB, remains="yes", active="active"), True),
    ],
)
def test_whether_a_unit_runs(unit: Unit, runs: bool) -> None:
    assert unit.runs is runs


@pytest.mark.parametrize(
    ("units", "effects", "steps"),
    [
        ([], {}, []),
        ([UP], {}, []),
        ([UP], {"etcd.service": "none"}, []),
        ([UP], {"etcd.service": "reload"}, ["reload etcd.service"]),
        ([UP], {"etcd.service": "restart"}, ["restart etcd.service"]),
        pytest.param(
            [NEW], {"etcd.service": "restart"}, ["enable etcd.service", "start etcd.service"], id="fresh host"
        ),
        pytest.param([DOWN], {"etcd.service": "reload"}, ["start etcd.service"], id="a start makes any effect true"),
        ([replace(UP, active="failed")], {}, ["start etcd.service"]),
        ([replace(UP, enabled="disabled")], {}, ["enable etcd.service"]),
        (
            [replace(UP, enabled="disabled")],
            {"etcd.service": "restart"},
            ["enable etcd.service", "restart etcd.service"],
        ),
        *[([replace(UP, enabled=state)], {}, []) for state in ("static", "indirect", "generated", "alias")],
        pytest.param(
            [replace(DOWN, load="masked", enabled="masked")], {}, ["start etcd.service"], id="masked: systemd says why"
        ),
        pytest.param([UP], {"systemd-sysctl.service": "restart"}, ["restart systemd-sysctl.service"], id="of others"),
        ([UP], {"systemd-sysctl.service": "none"}, []),
        (
            [replace(DOWN, name="b"), replace(DOWN, name="a")],
            {"c": "reload", "a": "restart"},
            ["start b", "start a", "reload c"],
        ),
        ([JOB], {}, []),
        ([JOB], {"backup.service": "restart"}, ["restart backup.service"]),
    ],
)
def test_plan(units: list[Unit], effects: dict[str, str], steps: list[str]) -> None:
    assert [f"{step.verb} {step.unit}" for step in plan(units, effects)] == steps


@pytest.mark.parametrize("effects", [{"a": "stop"}, {"a": ""}, {"b": "reload", "a": "Restart"}])
def test_an_effect_that_is_none(effects: dict[str, str]) -> None:
    with pytest.raises(Failed, match=r"'a': .* - an effect is one of none, reload, restart"):
        plan([UP], effects)


SHOWN = """Type=notify
RemainAfterExit=no
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=yes

Type=simple
RemainAfterExit=no
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
"""


@pytest.mark.parametrize(
    ("names", "shown", "units"),
    [
        (
            ["etcd.service", "none.service"],
            SHOWN,
            [replace(UP, stale="yes"), Unit("none.service", "not-found", "inactive", "", "simple")],
        ),
        pytest.param(["a"], "ActiveState=a=b\n", [Unit("a", "", "a=b", "")], id="only the first = parts"),
        pytest.param(["a"], "", [Unit("a", "", "", "")], id="nothing said"),
        ([], "", []),
    ],
)
def test_parse_units(names: list[str], shown: str, units: list[Unit]) -> None:
    assert parse_units(names, shown) == units


def test_insist() -> None:
    _member.insist([UP, JOB])


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names; `/garbage` is no HTTP."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/garbage":
            self.wfile.write(b"garbage\r\n\r\n")
            return
        self.send_response(self.server.later.pop() if self.path == "/later" else int(self.path[1:]))  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def address(server: ThreadingHTTPServer) -> str:
    """Return the server's base URL."""
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize(
    ("path", "statuses", "reason"),
    [
        ("/200", (200,), ""),
        ("/503", (200,), "status 503"),
        ("/503", (200, 503), ""),
        ("/200", (204,), "status 200"),
        ("/garbage", (200,), "garbage"),
    ],
)
def test_ask(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, path: str, statuses: tuple[int, ...], reason: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    url = address(server) + path
    said = ask(Ready(url, statuses=statuses))
    assert (reason in said and said.startswith(f"{url}: ")) if reason else said == ""


def test_ask_a_server_that_hangs_up_or_is_silent() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert "refused" in ask(Ready(url))
        silent.listen()
        assert "timed out" in ask(Ready(url), timeout=0.1)


@pytest.mark.parametrize(
    ("ready", "reason"),
    [
        (Ready("nonsense"), "unknown url type"),
        (Ready("https://127.0.0.1:1/", ca="/nowhere/ca.crt"), "No such file"),
        (Ready("https://127.0.0.1:1/", certificate="/nowhere/etcd.crt"), "No such file"),
        (Ready("https://127.0.0.1:1/"), "refused"),
    ],
)
def test_ask_what_can_not_be_asked(ready: Ready, reason: str) -> None:
    assert reason in ask(ready)
