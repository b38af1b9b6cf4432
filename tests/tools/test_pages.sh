#!/bin/bash
# test_pages.sh PTQ PTQTOP MAN [PTQBRIDGE] -- the manual pages: whole, well formed, of one piece, and their examples do what they show.
#
# In docs/man/*.scd a block behind `; run` is run here: lines that begin with "$ " are given to a shell, the others are what it prints.
# `; run c`: statements between an include and a return, which are compiled and run.  `; run conf`: ptqbridge --check finds it right.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
pages=$3 PTQBRIDGE=${4:-} sources=$(cd "$(dirname "$0")/../.." && pwd)
[ -e "$pages/man1/ptq.1" ] || { echo "skipped: no pages were built (scdoc)"; exit 77; }
[ "$(find "$pages"/man? -name '*.[1-8]' | wc -l)" -gt 100 ] || { echo "hardly any pages"; exit 1; }

# Pages that are no links.
own_pages() {
    grep -L '^\.so ' "$pages"/man?/*.[1-8]
}

# The rendered page, without overstrikes.
render() {
    mandoc -T utf8 -O width="${2:-999}" "$1" | sed $'s/.\b//g'
}

need_mandoc() {
    command -v mandoc >/dev/null || { echo "  skipped: no mandoc"; return 1; }
}

case_they_are_well_formed_and_80_columns_hold_them() {
    need_mandoc || return 0
    own_pages | while read -r page; do
        mandoc -T lint -W warning "$page"
        render "$page" 78 | awk -v page="${page##*/}" 'length > 80 { print page ": " $0 }'
    done >"$work/out" 2>&1
    out_is_empty
}

case_no_place_is_left_empty() {
    ! grep -n '@[A-Z]*@' "$pages"/man?/*.[1-8] >"$work/out" || fail "a place was not filled"
}

case_each_has_the_sections_that_it_wants() {
    own_pages | while read -r page; do
        sections="NAME SYNOPSIS SEE.ALSO"
        case $page in *.1 | *.8) sections="$sections DESCRIPTION EXIT.STATUS ENVIRONMENT EXAMPLES" ;; *ptq.7) sections="NAME DESCRIPTION ENVIRONMENT FILES SEE.ALSO" ;; esac
        for section in $sections; do
            grep -q "^\.SH $section\$" "$page" || fail "${page##*/} lacks $section"
        done
    done
}

case_every_option_of_help_is_on_the_page_and_the_reverse() {
    need_mandoc || return 0
    for program in "$PTQ" "$PTQTOP" ${PTQBRIDGE:+"$PTQBRIDGE"}; do
        name=$(basename "$program")
        page=$(echo "$pages"/man[18]/"$name".[18])
        "$program" --print list | cut -f2 | sort -u >"$work/of the table"
        if [ "$name" = ptq ]; then
            "$program" --print list | cut -f1 | sort -u | while read -r command; do
                # shellcheck disable=SC2086 # two words
                "$program" $command --help
            done
        else
            "$program" --help
        fi | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p' | sort -u >"$work/of help"
        sed -n 's/^\\fB\(\\-.\\fR, \\fB\)\?\(\\-\\-[a-z\\-]*\)\\fR.*/\2/p' "$page" | tr -d '\\' | sort -u >"$work/of the page"
        [ "$(wc -l <"$work/of the page")" -gt 10 ] || fail "$name: the page has hardly any options"
        diff "$work/of help" "$work/of the page" >"$work/out" || fail "$name: help and page differ"
        comm -23 "$work/of the table" "$work/of help" >"$work/out"
        out_is_empty
    done
}

case_every_command_is_on_the_page() {
    "$PTQ" --print list | cut -f1 | sort -u >"$work/commands"
    "$PTQ" --help | sed -n 's/^  \([a-z][a-z]*\( [a-z]*\)\?\)  .*/\1/p' >>"$work/commands"
    [ "$(wc -l <"$work/commands")" -gt 30 ] || fail "the list is short"
    while read -r command; do
        grep -q "^\.SS ptq $command\$" "$pages/man1/ptq.1" || fail "ptq.1 lacks $command"
    done <"$work/commands"
}

case_every_public_call_has_a_page_that_tells_of_it() {
    grep -ho 'ptq_[a-z0-9_]*(' "$sources"/src/include/ptq/*.h | tr -d '(' | sort -u >"$work/calls"
    [ "$(wc -l <"$work/calls")" -gt 300 ] || fail "only $(wc -l <"$work/calls") calls were found"
    [ -e "$pages/man3/ptq_pb.3" ] || { grep -ho 'ptq_[a-z0-9_]*(' "$sources/src/include/ptq/pb.h" | tr -d '(' | sort -u | comm -13 - "$work/calls" >"$work/some" && mv "$work/some" "$work/calls"; }
    cd "$pages/man3" || fail "no pages"
    # "PAGE CALL" a line: of its name, and of its headings behind which, and behind prototypes, stand words.
    own_pages | grep '/ptq_' | xargs -d '\n' awk '
        FNR == 1 { page = FILENAME; sub(/.*\//, "", page); told = "" }
        /^\.S[SH] / { told = /^\.SS .*\(\)/ ? $0 : ""; named = /NAME/ }
        named && / \\- / { sub(/ \\- .*/, ""); gsub(/,/, " "); count = split($0, names, " "); for (i = 1; i <= count; i++) print "named", page, names[i] }
        told != "" && !/^\./ && !/^\\fB.*;\\fR$/ {
            gsub(/\.SS |\(\)|"/, "", told); gsub(/,/, " ", told)
            count = split(told, names, " "); for (i = 1; i <= count; i++) print "told", page, names[i]; told = "" }' >"$work/found"
    for way in named told; do
        awk -v way=$way '$1 == way { print $3 }' "$work/found" | sort -u | comm -13 - "$work/calls" >"$work/out"
        [ ! -s "$work/out" ] || fail "no page has these calls $way"
    done
    # Of each the header says something.
    own_pages | xargs -d '\n' awk '/^\.SS / { call = $2 } /^The header says no more/ { sub(/\(\)/, "", call); print call }' | sort >"$work/out"
    out_is_empty
    # Its own name leads there.
    while read -r _ page call; do
        [ "$call.3" = "$page" ] || [ "$(cat "$call.3")" = ".so man3/$page" ] || fail "$call(3) does not lead to $page"
    done < <(grep '^told' "$work/found")
    sed -n 's/^.fB\(ptq_[a-z0-9_]*\)().*/\1/p' libptq.3 | sort -u | comm -13 - "$work/calls" >"$work/out"
    [ ! -s "$work/out" ] || fail "libptq.3 lacks these"
    grep -o '^    PTQ_[A-Z]* = ' "$sources/src/include/ptq/err.h" | tr -d ' =' | while read -r answer; do
        grep -q "^.fB$answer.fR (" "$pages/man3/libptq.3" || fail "libptq.3 lacks $answer"
    done
}

case_what_they_refer_to_is_there() {
    own_pages | xargs -d '\n' grep -o '\\fB[a-z_.\\-]*\\fR([1-8])' | sed 's/.*:\\fB\(.*\)\\fR(\(.\))/\1 \2/' | tr -d '\\' | sort -u >"$work/references"
    [ "$(wc -l <"$work/references")" -gt 15 ] || fail "only $(wc -l <"$work/references") references were found"
    while read -r name section; do
        case "$name $section" in
        "pkg-config 1" | "openssl 1" | "fork 2" | "fcntl 2" | "shm_overview 7" | "tmpfs 5") continue ;; # of the system
        esac
        [ -e "$pages/man$section/$name.$section" ] || { [ -z "$PTQBRIDGE" ] && [[ $name = ptq*bridge* ]]; } || fail "there is no $name($section)"
    done <"$work/references"
}

# What the source asks the environment for.
case_every_variable_is_on_a_page() {
    { grep -rhoE 'getenv\("[A-Z_]+"\)' "$sources/src" "$sources/tools" "$sources/bridges" --include='*.c'
      grep -hoE '"PTQ_[A-Z]+"' "$sources/src/bus/bus.c" "$sources/src/process/secret.c"; } | grep -o '[A-Z_]*[A-Z]' | sort -u >"$work/variables"
    [ "$(wc -l <"$work/variables")" -gt 12 ] || fail "only $(wc -l <"$work/variables") variables were found"
    while read -r variable; do
        [ "$variable" = PTQ_SECRET ] || grep -q "\\\\fB.*$variable" "$pages"/man[138]/*ptq*.[138] || { [ -z "$PTQBRIDGE" ] && [[ $variable = *BRIDGE* ]]; } ||
            fail "no page has $variable"
    done <"$work/variables"
}

# blocks KIND: each block behind "; run KIND" becomes $work/block.N
blocks() {
    rm -f "$work"/block.*
    awk -v mark="; run${1:+ $1}" -v to="$work/block." '
        FNR == 1 { inside = 0 }
        $0 == mark { armed = 1; next }
        /^```/ && armed { armed = 0; inside = 1; out = to (++count); next }
        /^```/ { inside = 0 }
        inside { gsub(/\\\\/, "\\"); print > out }' "$sources"/docs/man/*.scd
    [ -e "$work/block.1" ] || fail "there is no block to run: $1"
}

case_examples_for_a_shell_print_what_they_show() {
    mkdir "$work/bin" && ln -s "$PTQ" "$work/bin/ptq" # beside it stand examples, one of which is called grep
    PATH=$work/bin:$PATH
    blocks ""
    for block in "$work"/block.*; do
        export PTQ_RUN=run${block##*.}
        sed -n 's/^\$ //p' "$block" >"$work/commands"
        grep -v '^\$ ' "$block" >"$work/wanted"
        timeout 60 bash -e "$work/commands" >"$work/out" 2>"$work/err" </dev/null || fail "it fails: $(cat "$work/commands")"
        cmp -s "$work/wanted" "$work/out" || fail "it prints something else: $(cat "$work/commands")"
        nothing_said
    done
}

case_the_example_of_the_library_runs() {
    cc=${CC:-cc}
    command -v "$cc" >/dev/null || { echo "  skipped: no compiler"; return 0; }
    libraries=$(dirname "$PTQ")/../lib
    [ -e "$libraries/libptq.so" ] || { echo "  skipped: libptq is not where it is built"; return 0; }
    ! nm -D "$libraries/libptq.so" | grep -q '__[at]san_init' || { echo "  skipped: the library is built with a sanitizer"; return 0; }
    blocks c
    { printf '#include <stdio.h>\n#include <ptq/ptq.h>\nstatic void handle(const void *data, size_t size)\n{ fwrite(data, 1, size, stdout); }\nint main(void)\n{\n'
      cat "$work/block.1"
      printf 'return 0;\n}\n'; } >"$work/example.c"
    "$cc" -std=c99 -Wall -Wextra -Werror -I"$sources/src/include" "$work/example.c" -L"$libraries" -lptq -Wl,-rpath,"$libraries" -o "$work/example" \
        2>"$work/err" || fail "it does not compile"
    expect 0 timeout 60 "$work/example"
    [ "$(cat "$work/out")" = hello ] || fail "it does not print hello"
}

case_the_examples_of_the_file_are_right() {
    [ -n "$PTQBRIDGE" ] || { echo "  skipped: no ptqbridge"; return 0; }
    blocks conf
    for block in "$work"/block.*; do
        expect 0 timeout 20 "$PTQBRIDGE" --config "$block" --check
    done
}

# Each line of the examples in --help: a shell reads it, and the options in it exist.
case_examples_of_help_use_what_there_is() {
    "$PTQ" --print list >"$work/list"
    cut -f1 "$work/list" | sed 's/ .*//' | sort -u | while read -r command; do
        "$PTQ" help "$command" | awk '/^Examples:/ { on = 1; next } /^usage:/ { on = 0 } on && NF'
    done | sed 's/^ *//' | sort -u >"$work/lines"
    [ "$(wc -l <"$work/lines")" -gt 40 ] || fail "only $(wc -l <"$work/lines") lines were found"
    while read -r line; do
        bash -n <<<"$line" 2>"$work/err" || fail "no shell reads: $line"
        part=$(sed 's/.*\bptq \(--[a-z]* [^ ]* \)\?\([a-z]\)/\2/; s/ -- .*//' <<<"$line")
        read -r first second _ <<<"$part"
        grep -qE "^$first( $second)?"$'\t' "$work/list" || "$PTQ" "$first" --help >"$work/help" 2>&1 || fail "there is no command $first: $line"
        for option in $(grep -oE '(^| )--[a-z-]+' <<<"$part"); do
            grep -qE "^($first|$first $second)"$'\t'"$option"$'\t' "$work/list" || "$PTQ" --print globals | grep -q "\*$option\*" || fail "$first has no $option: $line"
        done
    done <"$work/lines"
}

run_cases
