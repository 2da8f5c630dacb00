#!/usr/bin/env bash
# Runs COMMAND in a fresh clone of what is committed, as root on a Debian RELEASE that has nothing but git and make.
# The Debian lies in a folder of its own and is removed after the command. MIRROR names another mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
source scripts/install.sh

release=${RELEASE:-trixie}
command=${COMMAND:-make demo}

die() { printf '%s\n' "$*" >&2; exit 1; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# This machine's settings for package indexes: certificates, proxies, addresses.
lend_network() {
    cp /etc/resolv.conf /etc/hosts "$1/etc/"
    [[ ! -d /usr/local/share/ca-certificates ]] ||
        cp -rT /usr/local/share/ca-certificates "$1/usr/local/share/ca-certificates"
    chroot "$1" update-ca-certificates >/dev/null 2>&1
    local file
    for file in /etc/pip.conf /etc/xdg/pip /etc/uv /etc/apt/auth.conf.d; do
        [[ ! -e $file ]] || cp -r --parents "$file" "$1"
    done
    apt-config dump Acquire::http Acquire::https >"$1/etc/apt/apt.conf.d/90network" 2>/dev/null || true
}

# In namespaces of its own: mounts and processes end with them, and no folder of this machine is mounted.
inside() {
    local machine=$1 name
    local scripts=/usr/share/debootstrap/scripts
    say "1/3  A clean Debian: $release"
    # A debootstrap that is older than the release makes it like unstable.
    debootstrap --variant=minbase --include=ca-certificates,git,make "$release" "$machine" "${MIRROR:-}" \
        "$([[ -e $scripts/$release ]] || echo sid)" >"$machine.log" 2>&1 || { tail "$machine.log" >&2; die "debootstrap failed"; }
    lend_network "$machine"
    # The packages' own servers would listen on this machine's ports.
    printf '#!/bin/sh\nexit 101\n' >"$machine/usr/sbin/policy-rc.d"
    chmod +x "$machine/usr/sbin/policy-rc.d"
    mount -t proc proc "$machine/proc"
    mount -t sysfs -o ro sysfs "$machine/sys"
    mount -t tmpfs -o mode=1777 tmpfs "$machine/dev/shm"
    mount -t devpts -o ptmxmode=0666 devpts "$machine/dev/pts"

    say "2/3  A fresh clone: $(git log -1 --format='%h %s')"
    git clone --quiet --no-local . "$machine/root/clone"
    [[ -z $(git status --porcelain) ]] || echo "What is not committed here is not in it."

    say "3/3  $command"
    local keep=("TERM=${TERM:-dumb}")
    for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY ${!PIP_@} ${!UV_@} ${!SSL_CERT_@} REQUESTS_CA_BUNDLE; do
        [[ -z ${!name:-} ]] || keep+=("$name=${!name}")
    done
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" \
        chroot "$machine" sh -c "cd /root/clone && $command"
}

remove() {
    trap - EXIT
    if [[ -n $namespaces ]]; then
        kill -KILL "$namespaces"
        wait "$namespaces" 2>/dev/null || true
    fi
    # The last processes may still be ending. No mount can be seen from here.
    for _ in {1..50}; do
        ! rm -rf --one-file-system "$machine" "$machine.log" 2>/dev/null || return 0
        sleep 0.2
    done
    echo "Left behind: $machine" >&2
}

if [[ ${1:-} == inside ]]; then
    inside "$2"
    exit
fi

((EUID == 0)) || die "debootstrap and chroot need root: run it as root"
command -v debootstrap >/dev/null || install_packages debootstrap
machine=$(mktemp -d /var/tmp/waitlist-machine-XXXXXX)
chmod 755 "$machine" # it is / there, for postgres and _apt too
namespaces=
trap remove EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
SECONDS=0
# In the background, so that a signal need not wait for it. Jobs there ignore Ctrl-C, which the command's programs may need.
env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc --ipc \
    "$0" inside "$machine" <&0 &
namespaces=$!
status=0
wait "$namespaces" || status=$?
namespaces=
say "$command on $release: $( ((status == 0)) && echo "succeeded" || echo "failed with $status"), $SECONDS s from nothing"
exit "$status"
