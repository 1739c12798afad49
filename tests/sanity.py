# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test sanity`` on an export of the checkout, without containers: ``python -m tests.sanity [test ...]``.

ansible-test refuses a checkout whose collection is a link to its own root, so it gets a copy of what version control
knows, below ``.cache/sanity``. Everything it installs stays there too (it gets that directory as its home), which
makes the next run quick and leaves nothing behind.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import ansible_test

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "sanity"
HOME = CACHE / "home"
EXPORT = CACHE / "ansible_collections" / "holdfast" / "platform"
# Not part of the archive: ruff and mypy judge it.
NOT_SHIPPED = ("collections/", "molecule/", "tests/")
# What is not held against us, with reasons. ansible-test wants one such file for each version of core.
IGNORED = ROOT / "tests" / "sanity-ignore.txt"

# Each with the named thing that is missing on a machine without containers.
SKIPPED = {
    "pslint": "needs PowerShell, and the collection has none",
    "shellcheck": "needs the program shellcheck",
}

# The versions that the supported cores run on, controllers and managed hosts: https://docs.ansible.com, support matrix.
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

# ansible-test fetches the script that installs pip from a site of its own; Python brings the same along. Where
# plugins are loaded, what every controller of ours has comes with it: a collection has no way to ask for that.
BOOTSTRAP = """
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
if "sanity.import.plugin" in sys.prefix or "sanity.ansible-doc" in sys.prefix:
    libraries = ["cryptography", "jsonschema", "netaddr"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *libraries], check=True)
"""


def export() -> None:
    """Bring the copy up to date: a repository of its own, since ansible-test asks git which files there are."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    wanted = {Path(name) for name in listed.split("\0") if name and not name.startswith(NOT_SHIPPED)}
    for old in EXPORT.iterdir() if EXPORT.exists() else []:
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink()
    for path in sorted(path for path in wanted if (ROOT / path).is_file()):
        (EXPORT / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, EXPORT / path, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet"], cwd=EXPORT, check=True)
    core = ".".join(metadata.version("ansible-core").split(".")[:2])
    (EXPORT / "tests/sanity").mkdir(parents=True)
    names = [f"{path} pylint:disallowed-name" for path in sorted(wanted) if path.suffix == ".py" and throws_away(path)]
    text = "\n".join([IGNORED.read_text(encoding="utf-8").rstrip(), *names, ""])
    (EXPORT / f"tests/sanity/ignore-{core}.txt").write_text(text, encoding="utf-8")


def throws_away(path: Path) -> bool:
    """Tell whether a file calls a value that it doesn't need `_`; ansible-test keeps that name for gettext."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return any(name.id == "_" and isinstance(name.ctx, ast.Store) for name in names)


def prepare_home() -> None:
    """Give ansible-test a home of its own, with the bootstrap script and the user's package index."""
    downloads = HOME / ".ansible" / "test" / "cache"
    downloads.mkdir(parents=True, exist_ok=True)
    source = (Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    for version in re.findall(r"\bpip='([\d.]+)'", source):
        (downloads / f"get_pip_{version.replace('.', '_')}.py").write_text(BOOTSTRAP, encoding="utf-8")
    for name in (".config/pip", ".pip", ".cache/pip"):
        theirs, ours = Path.home() / name, HOME / name
        if theirs.exists() and not ours.exists():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)


def interpreters() -> Path:
    """Link the Pythons of this machine into one directory. Shims on PATH may have nothing behind them."""
    directory = CACHE / "bin"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for version in PYTHONS:
        found = subprocess.run([ROOT / "tests/venv.sh", "python", version], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            (directory / f"python{version}").symlink_to(found.stdout.strip())
    return directory


def real_directories() -> list[str]:
    """List PATH without directories of shims, which answer for versions that aren't there."""
    return [directory for directory in os.get_exec_path() if Path(directory).name != "shims"]


def main(tests: list[str]) -> int:
    """Run the given tests, or all that this machine can run."""
    export()
    prepare_home()
    skipped = {} if tests else {name: why for name, why in SKIPPED.items() if not shutil.which(name)}
    options = [f"--test={name}" for name in tests] + [f"--skip-test={name}" for name in skipped]
    environment = os.environ | {
        "HOME": str(HOME),
        "PATH": ":".join(map(str, (Path(sys.executable).parent, interpreters(), *real_directories()))),
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-test"), "sanity", "--color", "no", *options],
        cwd=EXPORT,
        env=environment,
        check=False,
    )
    for name, why in skipped.items():
        print(f"SKIPPED sanity test {name}: {why}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
