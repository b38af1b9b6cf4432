#!/bin/sh
# symbols.sh SOURCE LIBRARY CC [HEADERS_TO_LEAVE_OUT...] -- the library exports what its headers declare, and nothing else.
. "$(dirname "$0")/lib.sh"
source=$1
library=$2
cc=$3
shift 3
without=" $* "
need nm

nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort -u >"$work/exported"
[ -s "$work/exported" ] || fail "$library exports nothing"
grep -v '^ptq_' "$work/exported" && fail "$library exports these beside ptq_*"

for header in "$source"/src/include/ptq/*.h; do
    case $without in *" $(basename "$header") "*) continue ;; esac
    "$cc" -E -P -I"$source/src/include" "$header" | grep -o '\<ptq_[a-z0-9_]*(' | tr -d '('
done | LC_ALL=C sort -u >"$work/declared"
[ "$(wc -l <"$work/declared")" -ge 40 ] || fail "the headers declare only $(wc -l <"$work/declared") functions: is this test blind?"
LC_ALL=C comm -23 "$work/declared" "$work/exported" >"$work/missing"
[ -s "$work/missing" ] && { cat "$work/missing"; fail "declared, but not exported"; }
LC_ALL=C comm -13 "$work/declared" "$work/exported" >"$work/unknown"
[ -s "$work/unknown" ] && { cat "$work/unknown"; fail "exported, but declared in no public header"; }

readelf -d "$library" | grep -q 'SONAME.*libptq\.so\.[0-9]' || fail "no soname"
readelf -d "$library" | grep -q NODELETE || fail "the library could be unloaded under its fork handlers"
readelf -d "$library" | grep -q TEXTREL && fail "text relocations"
say "$(wc -l <"$work/exported") symbols, all declared"
