#!/bin/sh
# docs.sh SOURCE -- no link in the documentation leads nowhere, and no page is missing in its index.
. "$(dirname "$0")/lib.sh"
cd "$1" || fail "no tree"

find . -name '*.md' -not -path './build*' -not -path './.git/*' >"$work/pages"
[ "$(wc -l <"$work/pages")" -ge 8 ] || fail "only $(wc -l <"$work/pages") pages were found"
links=0
while read -r page; do
    grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:' | grep . >"$work/links" || continue
    while read -r link; do
        links=$((links + 1))
        [ -e "$(dirname "$page")/$link" ] || { say "$page: there is no $link" >&2; echo x >>"$work/bad"; }
    done <"$work/links"
done <"$work/pages"
# A part of a page that a link names is there: its heading in lower case, without signs, with - for spaces.
# shellcheck disable=SC2046 # words are wanted
awk '
    function normal(path, parts, count, i, out, top) {
        count = split(path, parts, "/")
        for (i = 1; i <= count; i++)
            if (parts[i] == ".." && top > 0) top--
            else if (parts[i] != "." && parts[i] != "") out[++top] = parts[i]
        path = out[1]
        for (i = 2; i <= top; i++) path = path "/" out[i]
        return path
    }
    FNR == 1 { page = normal(FILENAME); folder = page; sub(/[^\/]*$/, "", folder) }
    /^##* / {
        part = tolower($0)
        sub(/^##* /, "", part); gsub(/\]\([^)]*\)/, "", part); gsub(/[^a-z0-9 _-]/, "", part); gsub(/ /, "-", part)
        known[page "#" part] = 1
    }
    match($0, /<a id="[^"]*">/) { known[page "#" substr($0, RSTART + 7, RLENGTH - 9)] = 1 }
    {
        rest = $0
        while (match(rest, /\]\([^) ]*#[^) ]*\)/)) {
            link = substr(rest, RSTART + 2, RLENGTH - 3)
            rest = substr(rest, RSTART + RLENGTH)
            if (link ~ /^[a-z]*:/) continue
            file = link; sub(/#.*/, "", file); sub(/.*#/, "", link)
            asked[page ": " (file == "" ? page : normal(folder file)) "#" link] = (file == "" ? page : normal(folder file)) "#" link
        }
    }
    END { for (each in asked) if (!(asked[each] in known)) print each }' $(tr '\n' ' ' <"$work/pages") | sort >"$work/parts"
while read -r part; do say "there is no such part of a page: $part" >&2; echo x >>"$work/bad"; done <"$work/parts"
[ "$links" -ge 10 ] || fail "only $links links were found"

for page in docs/*.md; do
    [ "$page" = docs/README.md ] || grep -qF "($(basename "$page"))" docs/README.md ||
        { say "docs/README.md does not list $page" >&2; echo x >>"$work/bad"; }
done
for page in docs/decisions/*.md; do
    [ "$page" = docs/decisions/README.md ] || grep -qF "($(basename "$page"))" docs/decisions/README.md ||
        { say "docs/decisions/README.md does not list $page" >&2; echo x >>"$work/bad"; }
done
tools/dev/differences >"$work/differences"
sed -n '/^<!-- differences:/,/^<!-- end of differences/p' docs/concepts.md | grep '^|' | cmp -s - "$work/differences" || {
    say "docs/concepts.md does not print tests/contract/differences.def: tools/dev/differences --write" >&2
    echo x >>"$work/bad"
}
# Each row is met by a case of the suite; a third column says something of its own.
rows=$(sed -n 's/^DIFFERENCE(\([a-z_]*\),.*/\1/p' tests/contract/differences.def)
[ "$(echo "$rows" | wc -l)" -ge 15 ] || fail "differences.def has only $(echo "$rows" | wc -l) rows"
for row in $rows; do
    grep -qw "DIFFERENCE_$row" tests/contract/case_*.c || { say "differences.def: no case of the contract meets $row" >&2; echo x >>"$work/bad"; }
done
sed -n 's/^THROUGH_BRIDGE(\([a-z_]*\), \([0-9]*\))$/\1 \2/p' tests/contract/through_bridge.def >"$work/through"
while read -r row value; do
    grep -q "^DIFFERENCE($row, [0-9]*, [0-9]*," tests/contract/differences.def || { say "through_bridge.def: there is no row $row" >&2; echo x >>"$work/bad"; }
    ! grep -q "^DIFFERENCE($row, [0-9]*, $value," tests/contract/differences.def || { say "through_bridge.def: $row is as over a link" >&2; echo x >>"$work/bad"; }
done <"$work/through"
# Who is called at night finds each alert, and each letter of ptqtop.
sed -n 's/^ *- alert: *//p' docs/metrics/alerts.yml >"$work/alerts"
[ "$(wc -l <"$work/alerts")" -ge 10 ] || fail "alerts.yml has only $(wc -l <"$work/alerts") alerts"
while read -r alert; do
    for page in docs/operations.md docs/metrics.md; do
        grep -q "^|.*\`$alert\`.*|" $page || { say "$page does not tell of the alert $alert" >&2; echo x >>"$work/bad"; }
    done
done <"$work/alerts"
sed -n '/^\*FLAGS\*/,/^$/p' docs/man/ptqtop.1.scd | tr '\n\t' '  ' | grep -o '[ ;][A-Z] [a-z]' | tr -d ' ;a-z' >"$work/flags"
[ "$(wc -l <"$work/flags")" -ge 8 ] || fail "ptqtop(1) has only $(wc -l <"$work/flags") flags"
while read -r flag; do
    sed -n '/^## What ptqtop shows/,/^## Before/p' docs/operations.md | grep -q "^| $flag | " || { say "docs/operations.md does not tell of ptqtop's $flag" >&2; echo x >>"$work/bad"; }
done <"$work/flags"
# A row of the list of features stands once, and names a test, or says that it is missing.
sed -n 's/^| \([A-Z][0-9, A-Z]*[0-9]\) |.*/\1/p' docs/migration.md | tr -d ' ' | tr ',' '\n' | sort | uniq -d >"$work/twice"
while read -r row; do say "docs/migration.md: row $row stands twice" >&2; echo x >>"$work/bad"; done <"$work/twice"
[ "$(grep -c '^| [A-Z][0-9]' docs/migration.md)" -ge 100 ] || fail "docs/migration.md has only $(grep -c '^| [A-Z][0-9]' docs/migration.md) rows"
grep '^| [A-Z][0-9]' docs/migration.md | grep -v '| `[a-z0-9_, `]*`[^|]* |$' | grep -v '| missing: [^|]* | |$' | while read -r row; do
    say "docs/migration.md: no test: $row" >&2
    echo x >>"$work/bad"
done
# Tests that pages name are there.
grep -o '`[a-z0-9_]*`' docs/migration.md | tr -d '`' | grep '_.*_' | grep -v '^ptq_' | sort -u >"$work/tests"
[ "$(wc -l <"$work/tests")" -ge 30 ] || fail "docs/migration.md names only $(wc -l <"$work/tests") tests"
while read -r test; do
    grep -rqw -e "$test" tests || { say "docs/migration.md: there is no test $test" >&2; echo x >>"$work/bad"; }
done <"$work/tests"
grep -o '`ptq_[a-z0-9_]*' docs/*.md | sed 's/.*`//' | grep -vx 'ptq_\|ptq_add_test\|ptq_flags' | sort -u | while read -r call; do
    # A counter is ptq_name in the source and ptq_name_total as it is told, an info ptq_name_info.
    grep -rqw -e "$call" -e "${call%_total}" -e "${call%_info}" src/include src/metrics src/remote/report.c || { say "documentation: there is no $call" >&2; echo x >>"$work/bad"; }
done
# The program on README's first screen has fifteen lines, and figures on pages are those of docs/benchmarks.md: the same name (what stands in
# brackets behind it aside), unit and median.
lines=$(awk '/^```c$/ && !seen { inside = 1; seen = 1; next } /^```$/ { inside = 0 } inside' README.md | wc -l)
[ "$lines" -ge 10 ] && [ "$lines" -le 15 ] || fail "the program in README.md has $lines lines"
cat README.md docs/*.md | awk '/^<!-- figures:/ { inside = 1; next } inside && !/^\|/ { inside = 0 } inside && !/^\|[-: |]*$/ && / \| [0-9.]+ \|/' >"$work/figures"
[ "$(wc -l <"$work/figures")" -ge 8 ] || fail "pages show only $(wc -l <"$work/figures") figures"
awk -F ' *[|] *' 'FNR == NR { name = $2; gsub(/[*]/, "", name); known[name "|" $3 "|" $4] = 1; next }
    { name = $2; gsub(/[*]/, "", name); start = name; sub(/ (\([^)]*\)$|over TCP.*)/, "", start) }
    !((name "|" $3 "|" $4) in known || (start "|" $3 "|" $4) in known) { print "docs/benchmarks.md has no such figure: " $0 }' docs/benchmarks.md "$work/figures" >"$work/unknown"
[ ! -s "$work/unknown" ] || { cat "$work/unknown" >&2; cat "$work/unknown" >>"$work/bad"; }
[ ! -e "$work/bad" ] || fail "$(wc -l <"$work/bad") findings"
say "$links links lead somewhere, and every page is in its index"
