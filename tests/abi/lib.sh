# lib.sh -- for the shell tests: a scratch directory that goes with the test, and how to fail or be skipped.
#
# Sourced.  work: the scratch directory.  say, fail TEXT..., skip TEXT..., need PROGRAM...
set -u
name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/ptq-$name.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { echo "$name: $*"; }
fail() { say "$*" >&2; exit 1; }
skip() { say "skipped: $*"; exit 77; }
need() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || skip "$program is not installed"
    done
}
