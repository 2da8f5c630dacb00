#!/usr/bin/env bash
# Makes stand-ins for the base images, from Debian's packages alone, where no image can be pulled: Python, PostgreSQL, Redis.
# What exists is kept; REBUILD=1 makes all of them again. MIRROR names another mirror of Debian.
set -euo pipefail
cd "$(dirname "$0")"
PATH="$PATH:/usr/sbin:/sbin"

release=bookworm
base=waitlist-base/debian:$release
die() { printf '%s\n' "$*" >&2; exit 1; }

has_image() { [[ -z ${REBUILD:-} ]] && docker image inspect "$1" >/dev/null 2>&1; }

if ! has_image "$base"; then
    echo "==> $base"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --variant=minbase --include=ca-certificates "$release" "$folder/root" "${MIRROR:-}" >"$folder/log" 2>&1 ||
        { tail "$folder/log" >&2; die "debootstrap failed"; }
    # This machine's own certificates: a hospital's proxy often has one.
    [[ ! -d /usr/local/share/ca-certificates ]] ||
        cp -rT /usr/local/share/ca-certificates "$folder/root/usr/local/share/ca-certificates"
    chroot "$folder/root" update-ca-certificates >/dev/null 2>&1
    tar --directory "$folder/root" --create . | docker import - "$base" >/dev/null
    rm -rf "$folder"
    trap - EXIT
fi
for name in python:3.11 postgres:15 redis:7; do
    has_image "waitlist-base/$name" || { echo "==> waitlist-base/$name"; docker build --quiet --tag "waitlist-base/$name" "${name%:*}"; }
done
