# Sourced by what installs: Debian's packages, and locks into environments. It needs a function `die`.
# shellcheck shell=bash

# The Pythons that pyproject.toml allows, as minor versions of Python 3.
read -r lowest_python highest_python < <(
    sed -nE 's/^requires-python = ">=3\.([0-9]+),<3\.([0-9]+)"$/\1 \2/p' pyproject.toml
)
((highest_python -= 1))

# Installs what is named, by Debian's names; says what to do where it may not.
install_packages() {
    (($#)) || return 0
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    if ! command -v apt-get >/dev/null || { ((EUID)) && ! command -v sudo >/dev/null; }; then
        die "Missing on this machine: $*
Install them (Debian's names), then run the command again. On Debian, as root:
    apt-get update && apt-get install --no-install-recommends $*"
    fi
    echo "Installing system packages: $*"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Succeeds if an environment's packages are those of its Python: after an upgrade of the system they lie under the old one.
is_whole() {
    local version
    version=$("$1/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) &&
        [[ -d $1/lib/python$version/site-packages ]]
}

# Succeeds if an environment has exactly the packages that a lock names: has_lock FOLDER LOCK
has_lock() {
    is_whole "$1" && [[ $(cat "$1/ready" 2>/dev/null) == "$(cksum <"$2")" ]]
}

# Installs exactly the packages that a lock names: install_lock FOLDER LOCK
install_lock() {
    rm -f "$1/ready"
    echo "Installing the locked packages into $1"
    .venv/bin/uv pip sync --python "$1/bin/python" --require-hashes "$2"
    cksum <"$2" >"$1/ready"
}
