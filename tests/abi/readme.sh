#!/bin/sh
# readme.sh SOURCE LIBRARY_DIR -- the program on README's first screen is fifteen lines, compiles by the command beside it, and
# prints what README says.
. "$(dirname "$0")/lib.sh"
source=$1
libraries=$2
mkdir -p "$work/tree/build/release" "$work/bus"
chmod 700 "$work/bus"
ln -s "$source/src" "$work/tree/src"
ln -s "$libraries" "$work/tree/build/release/lib"

awk '/^```c$/ && !seen { inside = 1; seen = 1; next } /^```$/ { inside = 0 } inside' "$source/README.md" >"$work/tree/hello.c"
lines=$(wc -l <"$work/tree/hello.c")
[ "$lines" -ge 10 ] && [ "$lines" -le 15 ] || fail "the program in README.md has $lines lines"
# The block of commands that begins with cc: lines with $ are typed, the others are what they print.
awk '/^```/ { inside = !inside; next } inside && /^\$ cc / { shown = 1 } inside && shown; shown && !inside { exit }' \
    "$source/README.md" >"$work/shown"
sed -n 's/^\$ //p' "$work/shown" >"$work/commands"
grep -v '^\$ ' "$work/shown" >"$work/expected"
[ -s "$work/commands" ] && [ -s "$work/expected" ] || fail "README.md shows no command that begins with cc, or no output"

cd "$work/tree" || fail "no work tree"
PTQ_DIR="$work/bus" sh -e "$work/commands" >"$work/printed" 2>"$work/errors" ||
    { cat "$work/errors"; fail "README's commands exited with $?"; }
[ -s "$work/errors" ] && { cat "$work/errors"; fail "README's commands complain"; }
cmp "$work/expected" "$work/printed" || { cat "$work/printed"; fail "README says otherwise"; }
say "README's program does what it says"
