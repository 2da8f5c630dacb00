#!/usr/bin/env bash
# Cuts a release: the changelog's Unreleased section gets its version and date, then a commit and a tag. Pushes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf '%s\n' "$*" >&2; exit 1; }

usage="make release VERSION=x.y.z [DATE=YYYY-MM-DD]"
number='(0|[1-9][0-9]*)'
[[ ${VERSION:-} =~ ^$number\.$number\.$number$ ]] || die "name a version of three numbers: $usage"
date=${DATE:-$(date +%F)}
[[ $date =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ && $(date -d "$date" +%F 2>/dev/null) == "$date" ]] ||
    die "DATE=$date is no date: $usage"
[[ -z $(git status --porcelain) ]] || die "there are changes that are not committed: a release is of what is committed"
present=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[[ $VERSION != "$present" && $(printf '%s\n' "$VERSION" "$present" | sort -V | tail -n 1) == "$VERSION" ]] ||
    die "$VERSION is no later than the present version, $present"
! git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null || die "there is a tag v$VERSION already"
grep -qx '## \[Unreleased\]' CHANGELOG.md || die "CHANGELOG.md has no section [Unreleased]"
unreleased=$(awk '/^## /{inside = /\[Unreleased\]/; next} inside && NF' CHANGELOG.md)
[[ -n $unreleased ]] || die "CHANGELOG.md says nothing under [Unreleased]: there is nothing to release"
grep -qxF "__version__ = \"$present\"" include/waitlist/__init__.py ||
    die "include/waitlist/__init__.py does not name the present version, $present"
grep -qF "**Version $present**" README.md || die "README.md does not name the present version, $present"

sed -i "s/^## \[Unreleased\]\$/## [Unreleased]\n\n## [$VERSION] - $date/" CHANGELOG.md
sed -i "s/^version = \".*\"\$/version = \"$VERSION\"/" pyproject.toml
sed -i "s/\*\*Version ${present//./\\.}\*\*/**Version $VERSION**/" README.md
sed -i "s/^__version__ = \".*\"\$/__version__ = \"$VERSION\"/" include/waitlist/__init__.py
git add CHANGELOG.md README.md include/waitlist/__init__.py pyproject.toml
git commit --quiet --message "Release $VERSION" --message "What changed is in CHANGELOG.md, under [$VERSION]."
git tag --annotate "v$VERSION" --message "Release $VERSION"
printf 'Version %s of %s is committed and tagged as v%s. To publish it: git push --follow-tags\n' "$VERSION" "$date" "$VERSION"
