# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import check_authority, make_root
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._site_ca import authority_of, fill_authority

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ALL = ["intermediate_certificate", "intermediate_key", "root_certificate", "root_key"]


def made() -> dict[str, Secret]:
    held: dict[str, Secret] = {}
    assert fill_authority(held, "lab", NOW) == ALL
    return held


COMPLETE = made()


@pytest.mark.parametrize(
    ("gone", "remade"),
    [
        (set(), []),
        ({"root_key"}, []),  # offline
        (set(ALL), ALL),
        ({"intermediate_key"}, ALL[:2]),
        ({"intermediate_certificate"}, ALL[:2]),
        ({"intermediate_certificate", "intermediate_key"}, ALL[:2]),
    ],
)
def test_fill_authority(gone: set[str], remade: list[str]) -> None:
    held = {name: secret for name, secret in COMPLETE.items() if name not in gone}
    kept = dict(held)
    assert fill_authority(held, "lab", NOW) == remade
    assert all(held[name] == secret for name, secret in kept.items() if name not in remade)
    authority = authority_of(held)
    assert authority is not None
    check_authority(authority, NOW)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ({"root_certificate"}, "pki/root_certificate: is missing, but other parts of the CA are there"),
        ({"root_certificate", "intermediate_key"}, "pki/root_certificate: is missing"),
        ({"root_key", "intermediate_key"}, "pki/root_key: is offline, and the intermediate has to be made"),
    ],
)
def test_what_cant_be_mended(gone: set[str], said: str) -> None:
    held = {name: secret for name, secret in COMPLETE.items() if name not in gone}
    kept = dict(held)
    with pytest.raises(SecretsError) as error:
        fill_authority(held, "lab", NOW)
    assert str(error.value).startswith(said)
    assert held == kept


def test_parts_that_dont_fit() -> None:
    held = {**COMPLETE, "intermediate_key": made()["intermediate_key"]}
    with pytest.raises(SecretsError, match="pki/intermediate_key: does not belong to pki/intermediate_certificate"):
        fill_authority(held, "lab", NOW)
    with pytest.raises(SecretsError, match="is valid from"):
        fill_authority(dict(COMPLETE), "lab", NOW + timedelta(days=2000))


def test_every_version_of_the_root_is_trusted() -> None:
    other = make_root("new", NOW).certificate
    held = {**COMPLETE, "root_certificate": replace(COMPLETE["root_certificate"], next=other)}
    authority = authority_of(held)
    assert authority is not None
    assert authority.roots == (COMPLETE["root_certificate"].current, other)


def test_no_authority_yet() -> None:
    assert authority_of({}) is None
    assert authority_of({"root_certificate": COMPLETE["root_certificate"]}) is None
