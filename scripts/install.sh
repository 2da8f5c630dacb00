# Sourced by what installs: Debian's packages, and locks into environments. It needs a function `die`.
# shellcheck shell=bash

# Installs what is named, by Debian's and Ubuntu's names; says what to do where it may not.
install_packages() {
    (($#)) || return 0
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    if ! command -v apt-get >/dev/null || { ((EUID)) && ! command -v sudo >/dev/null; }; then
        die "Missing on this machine: $*
Install them (Debian's and Ubuntu's names), then run the command again. On Debian or Ubuntu, as root:
    apt-get update && apt-get install --no-install-recommends $*"
    fi
    echo "Installing system packages: $*"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Tells whether an environment holds exactly what a lock names: has_lock FOLDER LOCK
has_lock() {
    [[ -x $1/bin/python && $(cat "$1/ready" 2>/dev/null) == "$(cksum <"$2")" ]]
}

# Makes an environment hold exactly what a lock names: install_lock FOLDER LOCK
install_lock() {
    rm -f "$1/ready"
    echo "Installing the locked packages into $1"
    .venv/bin/uv pip sync --python "$1/bin/python" --require-hashes "$2"
    cksum <"$2" >"$1/ready"
}
