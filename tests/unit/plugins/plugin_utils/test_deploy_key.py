# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._deploy_key import DeployKeyError, judge, write
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, ssh_private_key

OLD, NEW, OTHER = (ssh_private_key(bytes([number]) * 32) for number in range(3))


def test_the_file_follows_the_versions_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "key"
    assert write(file, Secret(OLD, ""), check=True)
    assert not file.exists()
    assert write(file, Secret(OLD, ""), check=False)
    assert not write(file, Secret(OLD, "", next=NEW), check=False)
    assert write(file, Secret(NEW, "", previous=OLD), check=False)
    assert file.read_text() == NEW
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    assert write(file, Secret(NEW, ""), check=False)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", [OTHER, "not a key\n"])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(DeployKeyError, match="holds another key than base/deploy_key"):
        write(file, Secret(OLD, "", next=NEW), check=False)
    assert file.read_text() == text


OFFERED = "debug1: Offering public key: /tmp/k ED25519 SHA256:x explicit\n"
ACCEPTED = OFFERED + "debug1: Server accepts key: /tmp/k ED25519 SHA256:x explicit\n"
ANOTHER = OFFERED + "debug1: Server accepts key: /root/.ssh/id_rsa RSA SHA256:y\n"


@pytest.mark.parametrize(
    ("status", "said", "taken"),
    [
        (0, ACCEPTED, True),
        (255, f"{OFFERED}deploy@10.77.1.11: Permission denied (publickey).\n", False),
        (0, ANOTHER, False),
    ],
)
def test_what_a_login_tells_of_the_key(status: int, said: str, taken: bool) -> None:
    assert judge("/tmp/k", status, said) is taken


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (255, "ssh: connect to host 10.77.1.11 port 22: Connection refused\n"),
        (255, f"{ACCEPTED}Connection closed by 10.77.1.11 port 22\n"),
        (255, "Host key verification failed.\n"),
    ],
)
def test_a_login_that_tells_nothing_proves_nothing(status: int, said: str) -> None:
    with pytest.raises(DeployKeyError, match="ssh ended with 255 and said"):
        judge("/tmp/k", status, said)
