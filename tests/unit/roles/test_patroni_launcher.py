# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

LAUNCHER = Path(__file__).parents[3] / "roles/postgresql/files/usr/local/lib/holdfast/patroni"


class Config:
    def _validate_and_adjust_timeouts(self, config: dict[str, int]) -> None:
        config["ttl"] = max(20, config["ttl"])


def said(data: Any, status_code: int | None = None) -> Any:
    """What Patroni takes an answer of etcd for."""
    return data.get("error") if isinstance(data, dict) else data


class Interface:
    def __init__(self, roots: Path | None) -> None:
        self._RestApiServer__ssl_options = {} if roots is None else {"cafile": str(roots)}

    def get_certificate_serial_number(self) -> str:
        return "0A"


class EtcdError(Exception):
    pass


class EtcdClient:
    def _handle_server_response(self, response: str) -> str:
        if response != "fine":
            raise EtcdError(response)
        return response


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The launcher, beside as much of a Patroni as it touches."""
    parts: dict[str, dict[str, Any]] = {
        "patroni": {},
        "patroni.postgresql": {"STOP_POLLING_INTERVAL": 1},
        "patroni.ha": {},
        "patroni.dcs": {},
        "patroni.dcs.etcd3": {
            "_raise_for_data": said,
            "Etcd3ClientError": EtcdError,
            "Etcd3Client": type("Etcd3Client", (EtcdClient,), dict(vars(EtcdClient))),
        },
        "patroni.api": {"RestApiServer": type("RestApiServer", (Interface,), dict(vars(Interface)))},
        "patroni.__main__": {"main": None},
        "patroni.config": {"Config": type("Config", (Config,), dict(vars(Config)))},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
    loader = SourceFileLoader("patroni_launcher", str(LAUNCHER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("given", "ttl"),
    [
        ({"ttl": 12, "loop_wait": 2, "retry_timeout": 5}, 12),
        ({"ttl": 11, "loop_wait": 2, "retry_timeout": 5}, 20),
        ({"ttl": 9, "loop_wait": 1, "retry_timeout": 3}, 20),
        ({"ttl": 30, "loop_wait": 10, "retry_timeout": 10}, 30),
    ],
)
def test_a_lease_is_taken_as_it_is_when_it_keeps_the_rule(launcher: Any, given: dict[str, int], ttl: int) -> None:
    launcher.Config()._validate_and_adjust_timeouts(given)
    assert given["ttl"] == ttl


class Ha:
    """A replica of a cluster that gets its leader, and then that leader's promotion, after so many looks."""

    def __init__(self, clock: Any, locked: float = 0, promoted: float = 0) -> None:
        self.clock, self.locked, self.promoted, self.looks = clock, locked, promoted, 0
        self.dcs = self

    def get_cluster(self) -> Any:
        self.looks += 1
        if self.locked == -1:
            raise OSError("the store does not answer")
        name = "data-b1" if self.looks > self.locked else ""
        return SimpleNamespace(leader=SimpleNamespace(name=name, member=name))

    def fetch_node_status(self, _: str) -> Any:
        return SimpleNamespace(in_recovery=self.looks <= self.promoted)

    def process_unhealthy_cluster(self) -> None:
        self.clock.sleep(2)

    def process_sync_replication(self) -> None:
        self.clock.sleep(2)


@pytest.mark.parametrize(
    ("cluster", "seconds"),
    [
        ({}, 0),
        ({"locked": 2}, 0.4),
        ({"locked": 2, "promoted": 4}, 0.8),
        ({"locked": 100}, 2),
        ({"locked": -1}, 2),
    ],
)
def test_a_replica_waits_for_the_new_leader_and_no_longer(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, cluster: dict[str, float], seconds: float
) -> None:
    now = [0.0]

    def sleep(length: float) -> None:
        now[0] += length

    monkeypatch.setattr(launcher, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0], time=lambda: 7.0))
    ha = Ha(sys.modules["patroni.ha"].time, **cluster)
    ha.process_unhealthy_cluster()
    assert now[0] == pytest.approx(seconds)
    ha.process_sync_replication()
    assert now[0] == pytest.approx(seconds + 2), "any other wait is Patroni's own"
    assert ha.clock.time() == 7.0


def test_the_end_of_the_server_is_looked_for_often(launcher: Any) -> None:
    assert sys.modules["patroni.postgresql"].STOP_POLLING_INTERVAL == launcher.OFTEN < 1


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ({"code": 3, "message": "the revision is old"}, "the revision is old"),
        ({"error": "no leader", "message": "other", "code": 14}, "no leader"),
        ({"error": {"grpc_code": 5, "message": "canceled"}}, {"grpc_code": 5, "message": "canceled"}),
        ("no JSON", "no JSON"),
    ],
)
def test_what_etcd_complains_of_is_heard(launcher: Any, answer: Any, heard: Any) -> None:
    assert launcher.etcd3._raise_for_data(answer, 400) == heard


def test_other_roots_are_taken_for_another_certificate(launcher: Any, tmp_path: Path) -> None:
    roots = tmp_path / "ca.crt"
    interface = launcher.api.RestApiServer(roots)
    assert interface.get_certificate_serial_number() == "0A"  # missing
    seen = set()
    for text in ("old", "old\nnew", "old\nnew", "new"):
        roots.write_text(text)
        seen.add(interface.get_certificate_serial_number())
    assert len(seen) == 3
    assert launcher.api.RestApiServer(None).get_certificate_serial_number() == "0A"


def test_a_member_of_etcd_that_stops_is_no_answer(launcher: Any) -> None:
    client = launcher.etcd3.Etcd3Client()
    assert client._handle_server_response("fine") == "fine"
    for said in ("malformed header: missing HTTP content-type", "server closed the stream without sending trailers"):
        with pytest.raises(ConnectionError, match=said):
            client._handle_server_response(f"<Unknown error: '{said}', code: 2>")
    with pytest.raises(EtcdError, match="lease not found"):
        client._handle_server_response("lease not found")
