#!/bin/bash
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a virtual environment from pyproject.toml, with the Pythons of this machine and nothing but PyPI.
#   tests/venv.sh pythons              the versions that this machine has, newest first
#   tests/venv.sh python 3.x           the interpreter of a version; fails when there is none
#   tests/venv.sh make DIR GROUP [3.x] DIR, with a dependency group, for a version (default: the newest)
# At once when it is there already: a stamp in it says what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
versions=(3.13 3.12 3.11)
# Python is the machine's, not that of the environment which this makes.
PATH=${PATH//"$PWD/.venv/bin:"/}
export UV_PYTHON_DOWNLOADS=never UV_NATIVE_TLS=1 UV_LINK_MODE=${UV_LINK_MODE:-hardlink}

# The interpreter of a version, if this machine has one that runs (a shim of pyenv may have nothing behind it).
python_of() {
    local candidate
    for candidate in "$HOME/.pyenv/versions/$1."*/bin/python3 "$(command -v "python$1" || true)" /usr/bin/python3; do
        if [ -x "$candidate" ] && "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" \
            2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

pythons() {
    local version
    for version in "${versions[@]}"; do
        if python_of "$version" > /dev/null; then echo "$version"; fi
    done
}

newest() {
    local found
    mapfile -t found < <(pythons)
    echo "${found[0]:-}"
}

# uv from PyPI, in a virtual environment of its own.
uv() {
    if ! .cache/uv/bin/uv --version > /dev/null 2>&1; then
        local python
        python=$(python_of "$(newest)")
        rm -rf .cache/uv
        if ! "$python" -m venv .cache/uv > /dev/null 2>&1; then
            echo "installing python3-venv from the distribution" >&2
            apt-get update -q > /dev/null
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv > /dev/null
            rm -rf .cache/uv
            "$python" -m venv .cache/uv
        fi
        .cache/uv/bin/pip install --quiet --disable-pip-version-check uv >&2
    fi
    .cache/uv/bin/uv "$@"
}

make_venv() {
    local directory=$1 group=$2 version=${3:-} stamp python
    if [ -z "$(newest)" ]; then
        echo "installing python3 from the distribution" >&2
        apt-get update -q > /dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3 python3-venv > /dev/null
    fi
    version=${version:-$(newest)}
    if [ -z "$version" ] || ! python=$(python_of "$version"); then
        echo "error: no Python ${version:-of ${versions[*]}} on this machine; install one (Debian: python3)" >&2
        exit 1
    fi
    stamp="$python $group $(sha256sum < pyproject.toml)"
    fresh() { [ "$(cat "$directory/.stamp" 2> /dev/null)" = "$stamp" ] && "$directory/bin/python" -c ''; }
    if fresh; then return; fi
    mkdir -p .cache
    exec 9> .cache/venv.lock
    flock 9
    if fresh; then return; fi
    echo "making $directory: $group on Python $version" >&2
    if [ "$(cut -d ' ' -f 1 "$directory/.stamp" 2> /dev/null)" != "$python" ]; then
        uv venv --quiet --clear --relocatable -p "$python" "$directory"
    fi
    VIRTUAL_ENV=$directory uv pip install --quiet --exact --group "$group"
    echo "$stamp" > "$directory/.stamp"
}

case ${1:-} in
    pythons) pythons ;;
    python) python_of "$2" ;;
    make) make_venv "${@:2}" ;;
    *) sed -n '6,10s/^# *//p' "$0" >&2; exit 2 ;;
esac
