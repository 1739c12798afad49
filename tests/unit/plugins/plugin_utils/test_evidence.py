# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import multiprocessing
import resource
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _evidence
from ansible_collections.holdfast.platform.plugins.plugin_utils._evidence import EvidenceError

FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # xdist has threads


def content(number: int, **more: Any) -> dict[str, Any]:
    return {
        "time": f"2026-11-21T10:00:{number:02}.000+00:00",
        "id": f"op{number}",
        "operation": "backup",
        "service": "postgresql",
        "outcome": "succeeded",
        "who": "ops@laptop",
        **more,
    }


def chain(length: int = 5) -> list[str]:
    """The lines of a chain that is well."""
    records: list[dict[str, Any]] = []
    for number in range(1, length + 1):
        records.append(_evidence.seal(content(number), records[-1] if records else None))
    return [json.dumps(record) for record in records]


def altered(lines: list[str], line: int, **values: Any) -> list[str]:
    record = {**json.loads(lines[line - 1]), **values}
    return [*lines[: line - 1], json.dumps(record), *lines[line:]]


def rewritten(lines: list[str], line: int) -> list[str]:
    """What a forger does: one record changed and all hashes after it computed anew."""
    records: list[dict[str, Any]] = [json.loads(text) for text in lines[: line - 1]]
    for text in lines[line - 1 :]:
        old = {key: value for key, value in json.loads(text).items() if key not in ("sequence", "previous", "hash")}
        records.append(_evidence.seal({**old, "outcome": "failed"}, records[-1] if records else None))
    return [json.dumps(record) for record in records]


LINES = chain()
HEADS = [[json.loads(line)["sequence"], json.loads(line)["hash"]] for line in LINES]


@pytest.mark.parametrize(
    ("lines", "witnessed", "faults"),
    [
        pytest.param([], {}, [], id="nothing yet"),
        pytest.param(LINES, {}, [], id="well"),
        pytest.param(LINES, {"a1": HEADS, "b1": HEADS[:2]}, [], id="well and witnessed"),
        pytest.param(
            altered(LINES, 3, who="nobody"),
            {},
            ["line 3: record 3 (backup postgresql succeeded) was changed"],
            id="changed",
        ),
        pytest.param([*LINES[:2], *LINES[3:]], {}, ["line 3: record 4", "removed"], id="removed"),
        pytest.param(LINES[1:], {}, ["line 1: record 2", "removed"], id="the first one removed"),
        pytest.param(
            [LINES[0], LINES[2], LINES[1], *LINES[3:]], {}, ["line 2: record 3", "line 3: record 2"], id="re-ordered"
        ),
        pytest.param([*LINES[:3], LINES[1], *LINES[3:]], {}, ["line 4: record 2", "inserted"], id="inserted"),
        pytest.param(
            [*LINES[:2], rewritten(LINES, 3)[2], *LINES[3:]],
            {},
            ["line 4: record 4", "came afterwards"],
            id="one written anew",
        ),
        pytest.param([*LINES[:2], "{]", *LINES[3:]], {}, ["line 3: is no record"], id="no record"),
        pytest.param([*LINES[:2], "[1]", *LINES[3:]], {}, ["line 3: is no record: is no JSON object"], id="a list"),
        pytest.param(altered(LINES, 2, sequence="2"), {}, ["line 2: is no record: sequence"], id="wrong type"),
        pytest.param(
            LINES[:3], {"a1": HEADS}, ["record 4 is missing; it was witnessed by a1", "record 5"], id="its end cut off"
        ),
        pytest.param(rewritten(LINES, 4), {}, [], id="written anew, without witnesses"),
        pytest.param(
            rewritten(LINES, 4),
            {"a1": HEADS, "b1": HEADS[:1]},
            ["line 4: record 4 is another one than a1 witnessed", "line 5"],
            id="written anew, with a witness",
        ),
    ],
)
def test_what_is_wrong_is_found_and_named(lines: list[str], witnessed: Mapping[str, Any], faults: list[str]) -> None:
    found = "\n".join(map(str, _evidence.check(lines, witnessed)))
    assert bool(found) == bool(faults), found
    assert all(fault in found for fault in faults), found


def test_the_head_of_a_chain_names_it() -> None:
    records = _evidence.readable(LINES)
    assert _evidence.chain_of(records) == records[0]["hash"][:16]
    assert _evidence.chain_of([]) == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1.5, 1.5),
        (10, 10),
        (True, True),
        ("20261121-100000F", "20261121-100000F"),
        ("two\nlines", "two lines"),
        (["data-a1", "data-c1"], "data-a1, data-c1"),
        ({"a": 1}, "{'a': 1}"),
        (float("inf"), "inf"),
        ("x" * 201, "x" * 199 + "…"),
    ],
)
def test_figures_are_numbers_and_short_texts(given: Any, kept: Any) -> None:
    assert _evidence.figures({"figure": given, "unknown": None}) == {"figure": kept}


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        ("dsn password=s3cret-value!", "dsn password=********"),
        ({"data-a1": ["key AAAABBBBCCCC here"]}, {"data-a1": ["key ******** here"]}),
        ("a short word stays", "a short word stays"),
        (12, 12),
    ],
)
def test_secrets_are_concealed(value: Any, hidden: Any) -> None:
    assert _evidence.conceal(value, ["s3cret-value!", "-----BEGIN-----\nAAAABBBBCCCC\n", "short"]) == hidden


def test_the_reason_of_several_hosts_stands_once() -> None:
    assert _evidence.reason({"b1": "disk\nis full", "a1": "disk is full", "c1": "no"}) == "a1, b1: disk is full; c1: no"
    assert len(_evidence.reason({"a1": "x" * 600})) == _evidence.TEXT


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, ""),
        ({"CI_JOB_URL": "https://git.example/jobs/7"}, "https://git.example/jobs/7"),
        ({"BUILD_URL": "https://jenkins.example/7/"}, "https://jenkins.example/7/"),
        (
            {"GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "a/b"},
            "https://git.example/a/b/actions/runs/7",
        ),
    ],
)
def test_the_job_of_a_pipeline(environment: dict[str, str], job: str) -> None:
    assert _evidence.job(environment) == job


def test_seconds_count_from_the_start_of_the_same_operation() -> None:
    records = [content(1, outcome="started"), content(3, id="op1", outcome="failed"), content(4, outcome="started")]
    now = datetime(2026, 11, 21, 10, 0, 11, 500_000, tzinfo=UTC)
    assert _evidence.seconds_since(records, "op1", now) == 10.5
    assert _evidence.seconds_since(records, "op4", now) == 7.5
    assert _evidence.seconds_since(records, "other", now) is None


def test_the_table_shows_an_operation_once() -> None:
    records = [
        content(1, outcome="started"),
        content(2, outcome="started", operation="restore"),
        content(9, id="op1", seconds=8.0, figures={"bytes": 1}),
        content(10, outcome="failed", reason="no\troom " + "x" * 300, unreachable=["b1"]),
    ]
    head, *rows = _evidence.table(records, 20)
    assert head.split()[:3] == ["time", "(UTC)", "who"]
    assert "2026-11-21 10:00:01" in rows[0]
    assert "succeeded" in rows[0]
    assert rows[0].endswith("8        bytes=1")
    assert "no outcome: killed or still running" in rows[1]
    assert "unreachable=b1 no room" in rows[2]
    assert max(map(len, rows)) < 260
    assert len(_evidence.table(records, 1)) == 2


# The file


def add(path: Path, number: int = 1, **more: Any) -> tuple[dict[str, Any], str]:
    return _evidence.append(path, lambda _: content(number, **more))


def test_records_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "new" / "evidence.jsonl"
    assert [add(path)[0]["sequence"] for _ in range(3)] == [1, 2, 3]
    assert _evidence.check(_evidence.read(path)[0]) == []
    assert path.stat().st_mode & 0o777 == 0o600
    _evidence.append(path, lambda records: content(4, figures={"before": len(records)}))
    assert '"before": 3' in path.read_text(encoding="utf-8")


def forked(work: Callable[[], None]) -> int:
    """Run work in a process of its own; its exit status."""
    process = FORK.Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def test_many_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"

    def work() -> None:
        for _ in range(20):
            add(path)

    processes = [FORK.Process(target=work) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    lines, rest = _evidence.read(path)
    assert (len(lines), rest) == (120, "")
    assert _evidence.check(lines) == []


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    add(path)
    before = path.read_bytes()

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100,) * 2)  # room for a part of a record
        with pytest.raises(EvidenceError, match=r"can't be written: .*; it is as it was"):
            add(path, 2)

    assert forked(work) == 0
    assert path.read_bytes() == before
    assert add(path, 2)[0]["sequence"] == 2


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_record_that_was_cut_off_is_put_aside(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "evidence.jsonl"
    add(path)
    add(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1 + cut])
    record, repaired = add(path, 3)
    assert record["sequence"] == 2
    assert "evidence.jsonl.torn" in repaired
    assert (tmp_path / "evidence.jsonl.torn").read_bytes() == whole[whole.index(b"\n") + 1 :][:cut] + b"\n"
    assert _evidence.check(_evidence.read(path)[0]) == []


def test_a_record_that_lacks_only_its_line_end_stays(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    add(path)
    path.write_bytes(path.read_bytes()[:-1])
    record, repaired = add(path, 2)
    assert (record["sequence"], repaired) == (2, "")
    assert _evidence.check(_evidence.read(path)[0]) == []


def test_nothing_follows_a_line_that_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(EvidenceError, match="line 1, the last one, is no record"):
        add(path)
    assert path.read_text(encoding="utf-8") == "{}\n"


def test_a_file_that_is_no_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=str(tmp_path)):
        add(tmp_path)
    with pytest.raises(EvidenceError, match="can't be read"):
        _evidence.read(tmp_path)
