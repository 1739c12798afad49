# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member of a service: what has to be done to its units, doing it, and waiting until it serves again.

The decision (`plan`) is pure; `act` talks to systemd and to the member's own health endpoint.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

STRENGTH = {"none": 0, "reload": 1, "restart": 2}


@dataclass(frozen=True)
class Unit:
    """What systemd says of one unit (`systemctl show`): the values of LoadState, ActiveState, UnitFileState, Type,
    RemainAfterExit and NeedDaemonReload."""

    name: str
    load: str
    active: str
    enabled: str
    kind: str = ""
    remains: str = "no"
    stale: str = "no"

    @property
    def runs(self) -> bool:
        """Whether it does its work: active, on the way there, or a finished one-shot (a timer's service, say)."""
        done = self.kind == "oneshot" and self.remains == "no" and self.active != "failed"
        return self.active in ("active", "activating", "reloading") or done


@dataclass(frozen=True)
class Step:
    """One thing to do: enable, start, restart, reload, stop or disable a unit."""

    verb: str
    unit: str


@dataclass(frozen=True)
class Ready:
    """How the member itself tells that it serves: a GET that has to answer with one of statuses.

    ca, certificate and key are files on the host; without ca the system's authorities count.
    """

    url: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    statuses: tuple[int, ...] = (200,)


def plan(units: Sequence[Unit], effects: Mapping[str, str]) -> list[Step]:
    """The steps that bring units to enabled and running, and make effects ({unit: reload or restart}) come true.

    A unit that does not run yet is started, which makes any effect true. An effect may name a unit outside units
    (a one-shot such as systemd-sysctl.service): it is carried out and nothing else. Raises Failed for an effect
    that is neither reload nor restart.
    """
    steps: list[Step] = []
    wrong = {unit: effect for unit, effect in effects.items() if effect not in STRENGTH}
    if wrong:
        raise Failed(f"effects: {wrong} - an effect is one of {', '.join(STRENGTH)}")
    for unit in units:
        if unit.enabled in ("disabled", "") and unit.load != "masked":
            steps.append(Step("enable", unit.name))
        if not unit.runs:
            steps.append(Step("start", unit.name))
        elif effects.get(unit.name, "none") != "none":
            steps.append(Step(effects[unit.name], unit.name))
    known = {unit.name for unit in units}
    steps.extend(Step(effect, unit) for unit, effect in effects.items() if unit not in known and effect != "none")
    return steps


def plan_stop(units: Sequence[Unit]) -> list[Step]:
    """The steps that bring units to stopped and disabled, the last one first. One that does not exist is done with."""
    steps: list[Step] = []
    for unit in reversed(units):
        if unit.active not in ("inactive", "failed", ""):
            steps.append(Step("stop", unit.name))
        if unit.enabled == "enabled":
            steps.append(Step("disable", unit.name))
    return steps


def parse_units(names: Sequence[str], shown: str) -> list[Unit]:
    """Units from what `systemctl show -p ...` printed: one block of key=value lines for each name, in their order."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return [
        Unit(
            name=name,
            load=block.get("LoadState", ""),
            active=block.get("ActiveState", ""),
            enabled=block.get("UnitFileState", ""),
            kind=block.get("Type", ""),
            remains=block.get("RemainAfterExit", "no"),
            stale=block.get("NeedDaemonReload", "no"),
        )
        for name, block in zip(names, blocks)
    ]


def read_units(names: Sequence[str]) -> list[Unit]:
    """Ask systemd. A unit that does not exist comes back with load `not-found`."""
    if not names:
        return []
    wanted = "LoadState,ActiveState,UnitFileState,Type,RemainAfterExit,NeedDaemonReload"
    return parse_units(names, run(["systemctl", "show", "-p", wanted, "--", *names]).out)


def insist(units: Sequence[Unit]) -> None:
    """Raise Failed for units that do not run. A start whose conditions are not met succeeds, and starts nothing."""
    idle = [unit.name for unit in units if not unit.runs]
    if idle:
        raise Failed("\n".join(f"{name} was started and does not run: {journal(name)}" for name in idle))


def opener(ready: Ready) -> urllib.request.OpenerDirector:
    """What makes a readiness call: with the member's TLS settings, and by no proxy of the environment."""
    direct = urllib.request.ProxyHandler({})
    if not ready.url.startswith("https:"):
        return urllib.request.build_opener(direct)
    settings = ssl.create_default_context(cafile=ready.ca)
    if ready.certificate:
        settings.load_cert_chain(ready.certificate, ready.key)
    return urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=settings))


def ask(ready: Ready, timeout: float = 5) -> str:
    """One readiness call: empty when the member is ready, else the reason."""
    try:
        with opener(ready).open(ready.url, timeout=timeout) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{ready.url}: {error}"
    return "" if status in ready.statuses else f"{ready.url}: status {status}"


def journal(unit: str, lines: int = 12) -> str:
    """The unit's last words."""
    return run(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(lines), "-u", unit], check=False).out.strip()


def carry_out(step: Step, timeout: float) -> None:
    """Do one step. Raises Failed with the unit's last words."""
    verb = ["reload-or-restart"] if step.verb == "reload" else [step.verb]
    done = run(["systemctl", *verb, "--", step.unit], timeout=timeout, check=False)
    if done.status and step.verb in ("restart", "reload") and read_units([step.unit])[0].load == "not-found":
        # The bundle took the unit away; what still runs of it has to end.
        done = run(["systemctl", "stop", "--", step.unit], timeout=timeout, check=False)
        if not read_units([step.unit])[0].runs:
            return
    if done.status:
        raise Failed(f"{step.unit}: {step.verb} failed: {done.err.strip()}\n{journal(step.unit)}")
