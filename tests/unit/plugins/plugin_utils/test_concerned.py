# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services the rotation of a secret concerns, in the house's own catalogue."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._concerned import concerned

SERVICES = _catalogue.load(check=False).services


@pytest.mark.parametrize(
    ("secrets", "services"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["redis/app_cache"], ["credentials", "redis"], id="a password of an application"),
        pytest.param(["postgresql/etcd"], ["credentials", "etcd", "postgresql"], id="a service's user at another one"),
        pytest.param(["postgresql/superuser"], ["credentials", "postgresql"], id="a service's own user"),
        pytest.param(["redis/backup_ssh"], ["backup_store", "credentials", "redis"], id="a key for the stores"),
        pytest.param(["shop/app"], ["credentials"], id="of an application that brings its own service"),
        pytest.param(["redis/admin", "etcd/root"], ["credentials", "etcd", "redis"], id="two secrets of two services"),
    ],
)
def test_a_secret_concerns_who_has_to_do_with_it(secrets: list[str], services: list[str]) -> None:
    assert concerned(secrets, SERVICES) == services


def test_the_ca_concerns_every_service() -> None:
    assert concerned(["pki/intermediate"], SERVICES) == sorted(s for s in SERVICES if "rotate" in SERVICES[s].verbs)


def test_the_host_key_of_the_stores_concerns_who_keeps_copies_there() -> None:
    found = concerned(["backup_store/host_key"], SERVICES)
    assert {"backup_store", *(s for s in SERVICES if SERVICES[s].backup)} <= set(found)


def test_certificates_that_are_due_concern_those_who_have_some() -> None:
    found = concerned([], SERVICES, certificates=True)
    assert found == sorted(s for s in SERVICES if SERVICES[s].certificates)
