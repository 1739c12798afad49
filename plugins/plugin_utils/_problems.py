# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a file that a person wrote, said so that the person can put it right.

A file is judged in two steps: its structure by a JSON schema, whose findings are put into our words here, then
its meaning by the module that reads it. Every step reports all it finds, not only the first problem.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class Problem:
    """One finding: in which file, at which key, the value there, why it is wrong and what would be right."""

    file: str
    key: str
    value: Any
    reason: str
    fix: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" ({shown(self.value)})"
        return f"{self.file}: {self.key or 'the file'}{value}: {self.reason}; {self.fix}"


class InvalidError(ValueError):
    """A file can't be used. `problems` holds all findings, the message has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def shown(value: Any) -> str:
    """Return a value as it stands in a message: JSON, at most 60 characters."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: Any, known: Iterable[str], what: str = "known") -> str:
    """Return the advice for a word that is none of the known ones, the nearest of them first."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1)
    listed = f"{what}: {', '.join(names) if names else 'none'}"
    return f"did you mean {close[0]!r}? {listed}" if close else listed


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C where it was built, that refuses a key given twice: YAML itself takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands here twice", node.start_mark)
        result: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return result


def read(path: Path, name: str | None = None) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping. `name` is what messages call it.

    :raises InvalidError: it can't be read, is no YAML, has a key twice, or is no mapping.
    """
    file = name or str(path)
    try:
        document = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 -- a safe loader
    except OSError as error:
        raise InvalidError(
            [Problem(file, "", None, f"can't be read: {error.strerror}", "give a readable file")]
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        raise InvalidError([Problem(file, where, None, f"no valid YAML: {reason}", "correct the line")]) from error
    if not isinstance(document, dict):
        raise InvalidError([Problem(file, "", document, "must be a mapping", "write keys and values")])
    return document


@cache
def _validator(schema: str) -> Any:
    # Imported late: half of what this file costs, and a run whose inventory was checked does not need it again.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    return Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8")))


def structure(document: Any, schema: str, file: str) -> list[Problem]:
    """Judge a document by `schemas/<schema>.json`, in which the description of every leaf says what is right."""
    problems = [problem for error in _validator(schema).iter_errors(document) for problem in _translated(error, file)]
    return sorted(problems, key=lambda problem: [part.zfill(6) for part in re.split(r"(\d+)", problem.key)])


def _translated(error: Any, file: str) -> Iterator[Problem]:
    """Put one finding of jsonschema into our words."""
    key, value, schema = joined(error.absolute_path), error.instance, error.schema
    right = schema.get("description", "")
    if "propertyNames" in list(error.relative_schema_path)[-2:]:
        yield Problem(file, joined([*error.absolute_path, str(value)]), None, "not a valid name", right)
    elif error.validator == "additionalProperties":
        known = schema.get("properties", {})
        for name in value.keys() - known.keys():
            key = joined([*error.absolute_path, str(name)])
            yield Problem(file, key, value[name], "unknown key", nearest(name, known))
    elif error.validator == "required":
        for name in [name for name in error.validator_value if name not in value]:
            about = schema.get("properties", {}).get(name, {}).get("description", "")
            yield Problem(
                file, joined([*error.absolute_path, name]), None, "missing", f"give {about}" if about else "give it"
            )
    elif error.validator == "enum":
        yield Problem(
            file,
            key,
            value,
            "not one of the possible values",
            nearest(value, map(str, error.validator_value), "possible"),
        )
    elif error.validator == "type":
        yield Problem(file, key, value, f"must be {_words(error.validator_value)}", right or "correct the value")
    elif error.validator == "uniqueItems":
        yield Problem(file, key, value, "an item stands here twice", "name each once")
    else:
        yield Problem(file, key, value, "not valid here", right or error.message)


_TYPES: Mapping[str, str] = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _words(types: str | list[str]) -> str:
    return " or ".join(_TYPES[name] for name in ([types] if isinstance(types, str) else types))


def joined(path: Iterable[str | int]) -> str:
    """Return a key's path as people write it: `pools.data.hosts[2].address`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
