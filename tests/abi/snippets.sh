#!/bin/bash
# snippets.sh SOURCE BUILD [PAGE]... -- what the documentation shows is so: each fenced block of README.md, docs/*.md and
# bridges/*/README.md (or of the PAGEs) is compiled, run, or checked, by its language:
#
#   c        with main: compiled, linked, and run (exit 0), or run by the page's console blocks where a comment gives it a name.
#            Without: a piece, compiled as the inside of a function that may use what snippets/given.h declares
#   cpp      the same as C++11
#   console  lines that begin with "$ " are typed (going on at "> "), the others are what they print, both streams; each command must
#            exit 0, unless the next one is `echo $?`; else the rest of the block is left out.  What & began prints below its own command; at the end it is ended
#   sh       a script, run by sh -e
#   ini      a file of ptqbridge, read by ptqbridge --check
#   python   a script, run where there is python3
#   yaml     something for another program: read by python3, where it has yaml
#   text     a picture: nothing is done
#
# Blocks of one page share a bus, a folder, and one shell for console.  The folder has a space in its name; in it stand src, docs, tools and build/release, PATH has the
# three programs.  In what is shown ... is any text, and alone on its line any lines.  Comments directly above a block say more:
#
#   <!-- numbers vary -->        numbers, and spaces, are not compared
#   <!-- file: hello.c -->       it is saved under that name
#   <!-- from: examples/x.c -->  it stands so in docs/examples/x.c, which is built elsewhere
#   <!-- file scope -->          a piece of C outside of functions
#   <!-- given: ... -->          for C: lines that stand before it; for others: a script that the same shell runs first
#   <!-- until: command -->      first, but after what is given, waits until that is true
#   <!-- not run: reason -->     only listed, and counted
#
# What would do harm where the test runs (become root, end others' processes, write outside of its folders, fetch: snippets/refuse.awk) is not
# run at all, nothing of its block, and is a finding: it is said otherwise, or marked as not run.
#
# /etc/ptq, /root/ptq-keys, /run/ptqbridge, /dev/shm/team, the group team and the hosts *.example, with ports 7400 to 7402 and 9417, are replaced by
# folders, ports and a group of the test's own, and put back in what is printed.
[ ! -w /dev/shm ] || TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
kit=$(cd "$(dirname "$0")/snippets" && pwd)
source=$1 build=$2
shift 2
export LC_ALL=C.UTF-8 TERM=dumb
unset PTQ_PEERS PTQ_NODE PTQ_KEYS PTQ_INSECURE PTQ_VIA NO_COLOR CLICOLOR_FORCE MAKEFLAGS
cc=${CC:-cc} cxx=${CXX:-c++}
warnings="-Wall -Wextra -Werror"
pieces="-Wno-unused-variable -Wno-unused-but-set-variable -Wno-unused-function -Wno-unused-result -Wno-unused-parameter -Wno-uninitialized -Wno-maybe-uninitialized"
deadline=${PTQ_TEST_DEADLINE:-60}

wrong() { # of the page at hand
    printf '%s:%s: %s\n' "$page" "$line" "$1" >>"$at/wrong"
    [ $# -lt 2 ] || sed 's/^/    /' "$2" | head -40 >>"$at/wrong"
}

free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        mkdir "$work/port.$port" 2>/dev/null || continue # another page has it
        echo $port
        return
    done
}

replacements() { # for the page at $at
    local port number=0
    : >"$at/there" && : >"$at/back"
    for port in 7400 7401 7402 9417; do
        number=$(free_port)
        echo "s/:$port\b/:$number/g" >>"$at/there"
        echo "s/:$number\b/:$port/g" >>"$at/back"
    done
    for folder in /etc/ptq /root/ptq-keys /run/ptqbridge; do
        mkdir -p "$at/host$folder"
        echo "s,\(^\|[^a-z]\)$folder\b,\1$at/host$folder,g" >>"$at/there"
        echo "s,$at/host$folder,$folder,g" >>"$at/back"
    done
    echo "s/\b[a-z]*\.example\b/127.0.0.1/g" >>"$at/there"
    mkdir "$at/host/team" # of a group that whoever runs this is in
    echo "s,/dev/shm/team\b,$at/host/team,g; s/\(-g\|--group\) team\b/\1 $(id -gn)/g" >>"$at/there"
    echo "s,$at/bus\b,/dev/shm/ptq-1000,g" >>"$at/back"
    chmod 700 "$at/host/etc/ptq" "$at/host/root/ptq-keys"
}

wait_until() { # command
    local end=$((SECONDS + deadline))
    until eval "$1" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}

refused() { # LANGUAGE FILE: tells what in it must not be done here, and is true if there is something
    sed -f "$at/there" "$2" >"$at/$number.asked"
    awk -v roots="$at" -v language="$1" -f "$kit/refuse.awk" "$at/$number.asked" >"$at/$number.refused" || echo "cannot tell" >"$at/$number.refused"
    [ ! -s "$at/$number.refused" ] || wrong "not run, for it would do harm here:" "$at/$number.refused"
    [ -s "$at/$number.refused" ]
}

harmful() { # the block, what is given for it, what it waits for
    local found=1
    case $language in
    console) sed -n 's/^[$>] //p' "$at/$number.body" >"$at/$number.typed" ;;
    *) cp "$at/$number.body" "$at/$number.typed" ;;
    esac
    case $language in
    ini | yaml) ;;
    c | cpp) ! grep -q '^int main(' "$at/$number.body" || ! refused "$language" "$at/$number.typed" || found=0 ;;
    *) ! refused "$language" "$at/$number.typed" || found=0 ;;
    esac
    case $language in c | cpp) ;; *) [ ! -e "$at/$number.given" ] || ! refused sh "$at/$number.given" || found=0 ;; esac
    printf '%s\n' "$until" >"$at/$number.until"
    [ "$until" = - ] || ! refused sh "$at/$number.until" || found=0
    return $found
}

compile_piece() { # $number, $language, $scope
    local unit=$at/$number.piece.${language/cpp/cc}
    {
        echo '#include "given.h"'
        [ ! -e "$at/$number.given" ] || cat "$at/$number.given"
        [ "$scope" = yes ] || echo "void piece(void); void piece(void) {"
        echo "#line $((line + 1)) \"$page\""
        cat "$at/$number.body"
        [ "$scope" = yes ] || echo "}"
    } >"$unit"
    # shellcheck disable=SC2086 # words are wanted
    if [ "$language" = c ]; then
        $cc -std=gnu11 -fsyntax-only $warnings $pieces -I"$source/src/include" -I"$kit" "$unit"
    else
        $cxx -std=c++11 -fsyntax-only $warnings $pieces -Wno-missing-field-initializers -I"$source/src/include" -I"$kit" "$unit"
    fi >"$at/$number.errors" 2>&1 || wrong "does not compile" "$at/$number.errors"
}

program() { # a whole program: $number, $language, $file
    local name=$file compiler="$cc -std=gnu11"
    [ "$language" = c ] || compiler="$cxx -std=c++11"
    [ "$name" != - ] || name=block$number.${language/cpp/cc}
    cp "$at/$number.body" "$name"
    # shellcheck disable=SC2086 # words are wanted
    $compiler $warnings -Isrc/include "$name" -Lbuild/release/lib -Wl,-rpath,"$PWD/build/release/lib" -lptq -o "${name%.*}" \
        >"$at/$number.errors" 2>&1 || { wrong "does not compile" "$at/$number.errors"; return; }
    [ "$file" = - ] || return
    timeout "$deadline" "./${name%.*}" >"$at/$number.errors" 2>&1 </dev/null || wrong "exited with $?" "$at/$number.errors"
}

console() {
    local steps=$at/$number.steps step code typed next
    sed -f "$at/there" "$at/$number.body" | awk -v out="$steps" '
        /^\$ / { step++; if (step > 1) close(file); file = out "." step; sub(/^\$ /, ""); print >(file ".typed"); printf "" >(file ".shown"); next }
        !step { print "it prints before anything is typed: " $0; exit }
        /^> / && !printed[step] { sub(/^> /, ""); print >(file ".typed"); next }
        { printed[step] = 1; print >(file ".shown") }
        END { print step + 0 >(out ".count") }' >"$at/$number.errors"
    [ ! -s "$at/$number.errors" ] || { wrong "$(cat "$at/$number.errors")"; return; }
    last_status=0
    for ((step = 1; step <= $(cat "$steps.count"); step++)); do
        typed=$(cat "$steps.$step.typed")
        next=$(cat "$steps.$((step + 1)).typed" 2>/dev/null)
        last_job=${!:-}
        (exit $last_status)
        { eval "$typed"; code=$?; } >"$steps.$step.printed" 2>&1 </dev/null
        last_status=$code
        case $typed in 'kill -9 $!'*) wait_until "! kill -0 $!" ;; esac # it has died before anybody could type the next
        [ "${!:-}" = "$last_job" ] || last_status=0
        echo "$number $line $step $vary" >>"$at/typed"
        [ $code -eq 0 ] || [ "$next" = 'echo $?' ] || { wrong "exited with $code: $typed" "$steps.$step.printed"; return; }
    done
}

compare_console() { # when all is over, for what & began
    local number line step vary steps
    while read -r number line step vary; do
        steps=$at/$number.steps.$step
        sed -f "$at/back" "$steps.shown" >"$steps.1"
        sed -f "$at/back" "$steps.printed" >"$steps.2"
        awk -v vary="$vary" -f "$kit/compare.awk" "$steps.1" "$steps.2" && continue
        { echo "shown:"; cat "$steps.1"; echo "printed:"; cat "$steps.2"; } >"$steps.both"
        wrong "it prints something else: $(sed -f "$at/back" "$steps.typed")" "$steps.both"
    done <"$at/typed"
}

end_jobs() {
    local job jobs_begun
    mapfile -t jobs_begun < <(jobs -p)
    for job in "${jobs_begun[@]:+${jobs_begun[@]}}"; do kill -TERM -- "-$job" 2>/dev/null; done
    for job in "${jobs_begun[@]:+${jobs_begun[@]}}"; do
        wait_until "! kill -0 -- -$job" || kill -KILL -- "-$job"
    done 2>/dev/null
}

one_block() {
    case $language in
    text) return ;;
    esac
    if [ "$not_run" != - ]; then
        echo "$page:$line: $language, not run: $not_run" >>"$at/left"
        return
    fi
    echo "$language" >>"$at/done"
    ! harmful || return
    if [ "$from" != - ]; then
        # shellcheck disable=SC2086 # a pattern
        cat "$source/docs/"$from | awk '
            FNR == NR { want[++count] = $0; next }
            { at++; got[at] = $0 }
            END { for (i = 1; i <= at; i++) { for (j = 1; j <= count && got[i + j - 1] == want[j]; j++); if (j > count) exit 0 } exit 1 }' \
            "$at/$number.body" - || wrong "this does not stand so in docs/$from"
        return
    fi
    case $language in c | cpp) ;; *)
        if [ -e "$at/$number.given" ]; then
            sed -f "$at/there" "$at/$number.given" >"$at/$number.first"
            . "$at/$number.first" >"$at/$number.errors" 2>&1 </dev/null || wrong "what is given for it exited with $?" "$at/$number.errors"
        fi ;;
    esac
    [ "$until" = - ] || wait_until "$(printf '%s' "$until" | sed -f "$at/there")" || { wrong "waited too long until $until"; return; }
    [ "$file" = - ] || case $language in c | cpp) ;; *) mkdir -p "$(dirname "./$file")" && sed -f "$at/there" "$at/$number.body" >"./$file" ;; esac
    case $language in
    c | cpp) if grep -q '^int main(' "$at/$number.body"; then program; else compile_piece; fi ;;
    console) console ;;
    sh)
        [ "$file" = - ] || return
        sed -f "$at/there" "$at/$number.body" >"$at/$number.script"
        timeout "$deadline" sh -e "$at/$number.script" >"$at/$number.errors" 2>&1 </dev/null || wrong "exited with $?" "$at/$number.errors" ;;
    ini)
        sed -f "$at/there" "$at/$number.body" >"$at/$number.conf"
        ptqbridge --config "$at/$number.conf" --check >"$at/$number.errors" 2>&1 || wrong "ptqbridge --check says" "$at/$number.errors" ;;
    python)
        [ "$file" = - ] || return
        command -v python3 >/dev/null || { echo "$page:$line: $language, not run: there is no python3" >>"$at/left"; return; }
        cp "$at/$number.body" "$at/$number.py"
        LD_LIBRARY_PATH=$PWD/build/release/lib timeout "$deadline" python3 "$at/$number.py" >"$at/$number.errors" 2>&1 </dev/null ||
            wrong "exited with $?" "$at/$number.errors" ;;
    yaml)
        python3 -c 'import yaml' 2>/dev/null || { echo "$page:$line: $language, not run: there is no yaml for python3" >>"$at/left"; return; }
        python3 -c 'import sys, yaml; assert yaml.safe_load(sys.stdin)' <"$at/$number.body" >"$at/$number.errors" 2>&1 || wrong "it is no yaml" "$at/$number.errors" ;;
    esac
}

one_page() {
    page=$1 at=$2 line=0
    set -m # what & begins has a process group of its own, and can be ended
    mkdir -p "$at/a tree/build" "$at/bus" "$at/host/home"
    chmod 700 "$at/bus"
    : >"$at/left" && : >"$at/done" && : >"$at/typed"
    awk -v out="$at" -f "$kit/extract.awk" "$source/$page"
    for part in src docs tools; do ln -s "$source/$part" "$at/a tree/$part"; done
    ln -s "$build" "$at/a tree/build/release"
    mkdir "$at/programs" # not all of bin: an example there is called grep
    for part in ptq ptqtop ptqbridge; do ln -s "$build/bin/$part" "$at/programs/$part"; done
    replacements
    cd "$at/a tree" || exit 1
    export PTQ_DIR="$at/bus" PATH="$at/programs:$PATH" HOME="$at/host/home" TMPDIR="$at"
    while IFS=$'\t' read -r -u 9 number line language file from not_run until vary scope; do
        if [ "$number" = finding ]; then wrong "$language"; continue; fi
        one_block
    done 9<"$at/plan"
    end_jobs
    compare_console
} 2>"$2/log"

cd "$source" || fail "no tree"
while read -r verdict text; do # what is refused, and what is not
    printf '%s\n' "$text" | sed 's/<newline>/\n/g' >"$work/text"
    case $verdict in refused:* | runs:*) ;; *) continue ;; esac
    language=sh
    case $verdict in *:python | *:c) language=${verdict#*:} ;; esac
    awk -v roots=/scratch -v language=$language -f "$kit/refuse.awk" "$work/text" >"$work/verdict" || fail "refuse.awk ends with $?"
    case $verdict in
    refused:*) [ -s "$work/verdict" ] || fail "refuse.awk would run: $text" ;;
    runs:*) [ ! -s "$work/verdict" ] || fail "refuse.awk refuses: $text: $(cat "$work/verdict")" ;;
    esac
    rules=$((${rules:-0} + 1))
done <"$kit/refuse.cases"
[ "${rules:-0}" -ge 60 ] || fail "refuse.cases has only ${rules:-0} cases"
everything=
if [ $# -eq 0 ]; then # it finds what is wrong
    PTQ_TEST_DEADLINE=2 bash "$kit/../snippets.sh" "$source" "$build" tests/abi/snippets/breaches.md >"$work/breaches" 2>&1 &
    breaches=$!
fi
[ $# -gt 0 ] || { everything=yes; set -- README.md docs/*.md bridges/*/README.md; }
pids=() places=()
for each in "$@"; do
    place=$work/$(echo "$each" | tr / -)
    places+=("$place")
    mkdir "$place"
    (trap - EXIT; one_page "$each" "$place") &
    pids+=("$!")
done
for pid in "${pids[@]}"; do wait "$pid" || fail "the shell of a page ended with $?: $(cat "$work"/*/log)"; done

if [ -n "$everything" ]; then
    wait $breaches
    meant=$(grep -c 'breach: ' "$kit/breaches.md")
    grep -q ": $meant findings" "$work/breaches" || { cat "$work/breaches"; fail "of breaches.md it does not find the $meant that are there"; }
fi

count=$(cat "${places[@]/%//done}" | wc -l)
cat "${places[@]/%//left}" | sort
[ -z "$everything" ] || [ "$count" -ge 70 ] || fail "only $count blocks were found"
if cat "${places[@]/%//wrong}" 2>/dev/null >"$work/wrong"; then :; fi
[ ! -s "$work/wrong" ] || { cat "$work/wrong"; fail "$(grep -c '^[^ ]' "$work/wrong") findings"; }
say "$# pages: $count blocks hold ($(cat "${places[@]/%//done}" | sort | uniq -c | awk '{ printf "%s%d %s", sep, $1, $2; sep = ", " }')), $(cat "${places[@]/%//typed}" | wc -l) commands typed; $(cat "${places[@]/%//left}" | wc -l) blocks are not run"
