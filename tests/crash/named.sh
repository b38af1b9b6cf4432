#!/bin/sh
# named.sh SOURCE CC -- each public call of a local queue names the tests in which its caller dies, and each window of death its test.
. "$(dirname "$0")/../abi/lib.sh"
source=$1
cc=$2
cd "$source" || fail "no tree"
bad() { say "$*" >&2; echo x >>"$work/bad"; }

grep -rhoE '^static void [a-z0-9_]+\(void \*\*state\)' tests --include='*.c' | sed 's/static void //; s/(.*//' | sort -u >"$work/cases"
grep -hoE '^ +\{"[^"]+"' tests/crash/*.c | sed 's/^ *{//' | sort -u >"$work/scripts"
[ "$(wc -l <"$work/cases")" -ge 300 ] || fail "only $(wc -l <"$work/cases") cases were found"
[ "$(wc -l <"$work/scripts")" -ge 80 ] || fail "only $(wc -l <"$work/scripts") scripts were found"

# names WHERE TEXT: are all tests there that TEXT names?
names() {
    printf '%s\n' "$2" | grep -oE '"[^"]+"|[a-z0-9_]+_[a-z0-9_]+' >"$work/names" || { bad "$1 names no test"; return; }
    while read -r test; do
        case $test in
        '"'*) grep -qxF -e "$test" "$work/scripts" || bad "$1: there is no script $test in tests/crash" ;;
        *) grep -qxF -e "$test" "$work/cases" || bad "$1: there is no case $test" ;;
        esac
    done <"$work/names"
}

# Calls: tests/crash/calls against the headers.
for header in queue bus metrics pool worker map process share log pipeline pipe pb; do
    "$cc" -E -P -Isrc/include src/include/ptq/$header.h >"$work/header" 2>/dev/null || [ $header = pb ] || fail "$header.h does not compile"
    grep -o '\<ptq_[a-z0-9_]*(' "$work/header" | tr -d '('
done | sort -u | grep -vE '^ptq_(spec|strerror|err_name|version|type)' >"$work/declared"
[ "$(wc -l <"$work/declared")" -ge 80 ] || fail "the headers declare only $(wc -l <"$work/declared") calls: is this test blind?"
grep -v '^#' tests/crash/calls | grep . >"$work/calls"
sed 's/ .*//' "$work/calls" | sort >"$work/listed"
uniq -d "$work/listed" | while read -r call; do bad "tests/crash/calls has $call twice"; done
sort -u "$work/listed" | comm -23 "$work/declared" - | while read -r call; do
    bad "$call: tests/crash/calls says no test in which its caller dies, and no reason why there is none"
done
sort -u "$work/listed" | comm -13 "$work/declared" - | while read -r call; do
    grep -rqw -e "$call" src/include || bad "tests/crash/calls: there is no call $call"
done
grep -rhoE '\<ptq_[a-z0-9_]+' tests/crash tests/process tests/unit/share --include='*.c' | sort -u >"$work/called"
while read -r call tests; do
    case $tests in
    'none: '?????????*) continue ;;
    none*) bad "tests/crash/calls: $call has no reason" ;;
    esac
    names "$call" "$tests"
    grep -qx -e "$call" "$work/called" ||
        bad "$call is called nowhere in tests/crash, tests/process or tests/unit/share"
done <"$work/calls"

# Windows: the table of docs/failure.md; the tests name their windows, too.
grep -rhoE --include='*.c' -e '/\*( W[0-9]+)+ \*/' tests | grep -oE 'W[0-9]+' | sort -u >"$work/windows"
for window in $(seq 1 33); do
    grep "^| W$window |" docs/failure.md >"$work/line"
    [ "$(wc -l <"$work/line")" -eq 1 ] || { bad "docs/failure.md has not one line of W$window"; continue; }
    tests=$(sed 's/ *|$//; s/.*| //' "$work/line")
    case $tests in 'none: '*) [ "$window" -eq 24 ] || bad "W$window has no test"; continue ;; esac
    names "W$window" "$tests"
    grep -qx "W$window" "$work/windows" || bad "no test names W$window"
done
[ ! -e "$work/bad" ] || fail "$(wc -l <"$work/bad") findings"
say "$(wc -l <"$work/calls") calls and 33 windows name their tests"
