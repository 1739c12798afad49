# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._rotation import (
    LEASE,
    PHASES,
    Account,
    Run,
    abort,
    accounts,
    begin,
    close,
    credential,
    due,
    enter,
    finish,
    next_rotation,
    passwords,
    remaining,
    selected,
    take,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Policy, Secret, SecretsError

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
RUN = Run("alice@laptop, process 1", NOW)
OTHER = Run("bob@desk, process 2", NOW)
PATH = "postgresql/app"
OLD = Secret(current="old", created="2026-01-01T00:00:00Z", policy=Policy(rotation="alternate", lifetime="90d"))
BEGUN = begin(PATH, OLD, "new", "r1", RUN)


def stored(secret: Secret) -> Secret:
    """As it comes back out of a file: what a run that was killed leaves for the next one."""
    return Secret.of(secret.as_data(), PATH)


def until(phase: str, secret: Secret = BEGUN, run: Run = RUN) -> Secret:
    """The secret when the phase is complete."""
    for name in PHASES[PHASES.index("prepared") + 1 : PHASES.index(phase) + 1]:
        if name not in remaining(secret):
            continue
        secret = stored(finish(PATH, stored(enter(PATH, secret, name, run)), name, run))
    return secret


def inside(phase: str) -> Secret:
    """The secret while the phase is carried out."""
    before = PHASES[PHASES.index(phase) - 1]
    return stored(enter(PATH, until(before), phase, RUN))


def values(secret: Secret) -> tuple[str | None, ...]:
    return secret.current, secret.next, secret.previous, secret.retired


@pytest.mark.parametrize(
    ("phase", "versions", "accepted"),
    [
        ("prepared", ("old", "new", None, None), ["old", "new"]),
        ("added", ("old", "new", None, None), ["old", "new"]),
        ("verified", ("old", "new", None, None), ["old", "new"]),
        ("switched", ("new", None, "old", None), ["new", "old"]),
        ("drained", ("new", None, "old", None), ["new", "old"]),
        ("retired", ("new", None, None, "old"), ["new"]),
    ],
)
def test_what_is_used_and_accepted_in_each_phase(phase: str, versions: tuple[str | None], accepted: list[str]) -> None:
    for secret in [until(phase)] + ([inside(phase)] if phase != "prepared" else []):
        assert values(secret) == versions
        assert passwords(secret) == accepted


def test_a_rotation_ends_with_the_new_value_alone() -> None:
    secret = close(PATH, until("retired"), RUN)
    assert secret == Secret(current="new", created="2026-11-21T09:00:00Z", policy=OLD.policy, slot="b")
    again = until("retired", begin(PATH, secret, "newer", "r2", RUN))
    assert close(PATH, again, RUN).slot == "a"


@pytest.mark.parametrize("phase", PHASES[1:])
def test_each_step_is_the_same_when_it_is_done_again(phase: str) -> None:
    entered = inside(phase)
    assert enter(PATH, entered, phase, RUN) == entered
    later = Run("carol@ci, process 3", NOW + LEASE + timedelta(seconds=1))
    resumed = begin(PATH, entered, "another value", "r2", later)
    assert values(resumed) == values(entered)
    assert resumed.journal is not None
    assert (resumed.journal.id, resumed.journal.token) == ("r1", int(later.now.timestamp()))
    ended = close(PATH, until("retired", resumed, later), later)
    assert ended == close(PATH, until("retired"), RUN)


@pytest.mark.parametrize("phase", PHASES[1:])
@pytest.mark.parametrize("moment", [inside, until])
def test_abort_goes_back_to_the_old_value_and_refuses_the_new_one(phase: str, moment: object) -> None:
    secret = inside(phase) if moment is inside else until(phase)
    if phase == "retired":
        with pytest.raises(SecretsError, match="postgresql/app: the old value is refused already"):
            abort(PATH, secret, RUN)
        return
    turned = stored(abort(PATH, secret, RUN))
    assert abort(PATH, turned, RUN) == turned
    assert turned.current == "old"
    assert turned.slot == "a"
    assert "new" in (turned.previous, turned.retired)
    assert remaining(turned) in ((*PHASES[3:],), (*PHASES[5:],))
    last = until("retired", turned)
    assert values(last) == ("old", None, None, "new")
    assert close(PATH, last, RUN) == OLD


def test_abort_before_anything_was_added() -> None:
    assert close(PATH, until("retired", abort(PATH, BEGUN, RUN)), RUN) == OLD


def test_a_phase_out_of_turn() -> None:
    with pytest.raises(SecretsError, match=r"after 'prepared' comes \('added',\), not 'switched'"):
        enter(PATH, BEGUN, "switched", RUN)
    with pytest.raises(SecretsError, match="'switched' was never entered"):
        finish(PATH, until("verified"), "switched", RUN)
    with pytest.raises(SecretsError, match="'retired' was never entered"):
        finish(PATH, until("drained"), "retired", RUN)
    with pytest.raises(SecretsError, match="can't be closed before drained, retired"):
        close(PATH, until("switched"), RUN)
    with pytest.raises(SecretsError, match="no rotation of it is under way"):
        enter(PATH, OLD, "added", RUN)


def test_a_second_run_is_refused_while_the_first_is_at_work() -> None:
    with pytest.raises(
        SecretsError, match="alice@laptop, process 1 is at work on its rotation, phase after 'prepared'"
    ):
        begin(PATH, BEGUN, "x", "r2", OTHER)
    with pytest.raises(SecretsError, match="taken for dead at 2026-11-21T09:10:00Z"):
        abort(PATH, BEGUN, OTHER)


@pytest.mark.parametrize(
    "run",
    [
        replace(OTHER, now=NOW + LEASE),
        replace(OTHER, dead=frozenset({RUN.controller})),
        replace(OTHER, take_over=True),
    ],
)
def test_a_run_that_is_gone_is_followed_and_fenced_off(run: Run) -> None:
    taken = take(PATH, BEGUN, run)
    assert taken.journal is not None
    assert BEGUN.journal is not None
    assert taken.journal.controller == OTHER.controller
    assert taken.journal.token > BEGUN.journal.token
    with pytest.raises(SecretsError, match=r"bob@desk, process 2 has taken its rotation over \(token 1"):
        enter(PATH, taken, "added", RUN)


def test_each_phase_renews_the_runs_word() -> None:
    later = replace(RUN, now=NOW + timedelta(minutes=9))
    entered = enter(PATH, BEGUN, "added", later)
    assert entered.journal is not None
    assert entered.journal.until == "2026-11-21T09:19:00Z"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (OLD, [Account("app_a", "old"), Account("app_b", None, login=False)]),
        (until("added"), [Account("app_a", "old"), Account("app_b", "new")]),
        (until("switched"), [Account("app_a", "old"), Account("app_b", "new")]),
        (until("retired"), [Account("app_a", None, login=False), Account("app_b", "new")]),
    ],
)
def test_the_two_users_of_a_secret_that_alternates(secret: Secret, expected: list[Account]) -> None:
    assert accounts("app", secret) == expected


def test_no_value_of_a_journal_or_a_secret_is_shown() -> None:
    assert "old" not in repr(until("switched"))
    assert "new" not in repr(until("switched"))


@pytest.mark.parametrize(
    ("policy", "created", "expected"),
    [
        (Policy(lifetime="90d"), "2026-08-23T09:00:00Z", True),
        (Policy(lifetime="90d"), "2026-08-23T09:00:01Z", False),
        (Policy(lifetime=None), "2020-01-01T00:00:00Z", False),
        (Policy(lifetime="90d", rotation="none"), "2020-01-01T00:00:00Z", False),
        (None, "2020-01-01T00:00:00Z", False),
    ],
)
def test_due(policy: Policy | None, created: str, expected: bool) -> None:
    assert due(Secret("x", created, policy=policy), NOW) is expected


def test_what_is_under_way_is_due() -> None:
    fresh = replace(BEGUN, created="2026-11-21T08:00:00Z")
    assert due(fresh, NOW)
    assert next_rotation(replace(fresh, policy=Policy(lifetime="1d"))) == datetime(2026, 11, 22, 8, tzinfo=UTC)


HELD = {
    "a/old": OLD,
    "a/fresh": replace(OLD, created="2026-11-01T00:00:00Z"),
    "a/never": replace(OLD, policy=Policy(rotation="none")),
    "a/one": replace(OLD, policy=Policy(rotation="replace")),
    "b/one": replace(OLD, policy=Policy(rotation="replace")),
    "pki/key": Secret("x", "2020-01-01T00:00:00Z"),
}

SERVED = {"a/one"}


def test_selection() -> None:
    assert list(selected(HELD, [], NOW, SERVED, only_due=True)) == ["a/old"]
    assert list(selected(HELD, ["a/fresh", "a/old", "a/fresh"], NOW, SERVED)) == ["a/fresh", "a/old"]
    with pytest.raises(SecretsError, match=r"a/nothing: is no secret of this site; .* rotated: a/fresh, a/old, a/one"):
        selected(HELD, ["a/nothing"], NOW, SERVED)
    assert list(selected(HELD, ["a/one"], NOW, SERVED)) == ["a/one"]
    with pytest.raises(SecretsError, match=r"b/one: its service knows one value at a time .* none of the house's"):
        selected(HELD, ["b/one"], NOW, SERVED)
    with pytest.raises(SecretsError, match="a/never: is never rotated"):
        selected(HELD, ["a/never"], NOW, SERVED)


def test_a_secret_that_is_never_rotated() -> None:
    for secret in (HELD["a/never"], HELD["pki/key"]):
        with pytest.raises(SecretsError, match="is never rotated"):
            begin(PATH, secret, "x", "r", RUN)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"slot": "c"}, "x.slot: is 'c', it has to be one of a, b"),
        ({"journal": {"id": "1"}}, "x.journal: is no journal of a rotation"),
        ({"journal": vars(BEGUN.journal) | {"token": "1"}}, "x.journal.token: has to be of type int"),
        ({"journal": None}, "x.journal: is no journal of a rotation"),
        ({"retired": ""}, "x.retired: has to be a text that is not empty"),
    ],
)
def test_a_damaged_entry(data: dict[str, object], message: str) -> None:
    with pytest.raises(SecretsError, match=message.replace(".", r"\.")):
        Secret.of({"current": "v", "created": "", **data}, "x")


def test_the_users_that_services_have_among_themselves() -> None:
    """The first of the two bears the plain name: a site from before there were two has it already."""
    names = [[(a.user, a.login) for a in accounts("pool", secret, own=True)] for secret in (OLD, inside("added"))]
    assert names == [[("pool", True), ("pool_b", False)], [("pool", True), ("pool_b", True)]]
    assert credential("pool", OLD, own=True) == Account("pool", "old")
    assert credential("pool", inside("switched"), own=True) == Account("pool_b", "new")
    assert credential("pool", inside("switched"), "previous", own=True) == Account("pool", "old")
    assert credential("pool", inside("retired"), "retired", own=True) == Account("pool", "old")


def test_what_a_replaced_secret_stands_for() -> None:
    """One user all the time; nobody logs in with a value that its service has not heard of."""
    one = replace(OLD, policy=Policy(rotation="replace"))
    begun = begin(PATH, one, "new", "r1", RUN)
    assert accounts("postgres", begun, own=True) == [Account("postgres", "old")]
    assert credential("postgres", begun, "next") is None
    switched = enter(PATH, until("verified", begun), "switched", RUN)
    assert accounts("postgres", switched) == [Account("postgres", "new")]
    assert credential("postgres", switched, "previous") == Account("postgres", "old")
