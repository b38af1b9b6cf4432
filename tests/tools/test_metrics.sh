#!/bin/bash
# test_metrics.sh PTQ PTQTOP MAN PTQBRIDGE -- the bus as OpenMetrics: by ptqtop printed, in a file and over HTTP, and by ptqbridge.
. "$(dirname "$0")/lib.sh"
BRIDGE=$4
source=$(cd "$(dirname "$0")/../.." && pwd)

# ask URL [HEADER]: its body is in $work/page, its head in $work/head.
ask() {
    local place=${1#http://}
    exec 7<>"/dev/tcp/${place%:*}/$(echo "${place##*:}" | sed 's|/.*||')" || fail "nobody at $1"
    printf 'GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n' "${place#*/}" "${2:+$2$'\r\n'}" >&7
    cat <&7 | tee "$work/answer" | sed '1,/^\r$/d' >"$work/page"
    exec 7>&-
    sed '/^\r$/q' "$work/answer" | tr -d '\r' >"$work/head"
}

# serve NAME ARGUMENT...: ptqtop --serve in the background; its address is in $url, its pid in $pid.
serve() {
    local name=$1
    shift
    start "$name" "$PTQTOP" --serve 127.0.0.1:0 "$@"
    wait_for has_line "$work/$name.err" "figures on"
    url=$(sed -n 's|.*figures on \(.*\)/metrics|\1|p' "$work/$name.err")
}

# make QUEUE [COUNT]: made anew, with so many messages in it; 1.
make() {
    "$PTQ" create "$1" --capacity 100 && "$PTQ" put "$1" --line < <(seq "${2:-1}") || fail "cannot make $1"
}

# is_told FILE SAMPLE VALUE
is_told() {
    grep -qxF -- "$2 $3" "$1" || fail "not '$2 $3' but: $(grep -F -- "$2" "$1" | head -3)"
}

scraped() { ask "$url/metrics" && grep -qxF -- "$1" "$work/page"; }

# conforms FILE: what families.def says of names, types, units and labels is so; a family stands together; # EOF is last.
conforms() {
    awk '
        function wrong(what) { print FILENAME ":" FNR ": " what ": " $0; bad = 1 }
        FNR == NR { if (match($0, /^FAMILY\([A-Z_]*, [A-Z]*, "[a-z_]*", "[a-z]*", "[a-z ]*"/)) {
                        split($0, q, "\""); split($0, c, ", "); type[q[2]] = tolower(c[2]); unit[q[2]] = q[4]; labels[q[2]] = q[6] }
                    next }
        ended { wrong("behind the end") }
        /^# TYPE / { name = $3; if (!(name in type)) wrong("no such family"); else if (type[name] != $4) wrong("another type");
                     if (told[name]++) wrong("told twice"); next }
        /^# UNIT / { if ($3 != name || $4 != unit[name] || $3 !~ ("_" $4 "$")) wrong("another unit"); units[name] = 1; next }
        /^# HELP / { if ($3 != name) wrong("help of another"); next }
        /^# EOF$/ { ended = 1; next }
        /^#/ { wrong("no comment is known") }
        {   sample = $0; sub(/[{ ].*/, "", sample)
            suffix = substr(sample, length(name) + 1)
            if (index(sample, name) != 1) wrong("of another family")
            want = type[name] == "counter" ? "_total" : type[name] == "info" ? "_info" : type[name] == "gauge" ? "" : "_bucket|_sum|_count"
            if (index("|" want "|", "|" suffix "|") == 0) wrong("suffix")
            if (unit[name] != "" && !units[name]) wrong("no unit")
            rest = $0; list = ""
            if (match(rest, /^[a-z_]*\{/)) { rest = substr(rest, RLENGTH + 1)
                while (match(rest, /^[a-z_]+="([^"\\]|\\["\\n])*"/)) {
                    label = substr(rest, 1, index(rest, "=") - 1); if (label != "le") list = list (list == "" ? "" : " ") label
                    rest = substr(rest, RLENGTH + 1); sub(/^,/, "", rest) }
                if (rest !~ /^\} /) wrong("labels") }
            if (list != labels[name]) wrong("labels are not \"" labels[name] "\"")
            if (seen[$0 = substr($0, 1, match($0, / [^ ]*$/) - 1)]++) wrong("told twice")
            count++ }
        END { if (!ended) { print "no # EOF"; bad = 1 }
              print count " samples"; exit bad }' "$source/src/metrics/families.def" "$1" >"$work/findings" || fail "$(head -5 "$work/findings")"
}

# Counters of AFTER that are lower than in BEFORE, or missing.
goes_back() {
    awk 'FNR == NR { if (/^[a-z_]*(_total|_bucket|_count|_sum)[{ ]/) was[$1] = $2; next }
         $1 in was { if ($2 + 0 < was[$1] + 0) { print $1 ": " was[$1] ", then " $2; bad = 1 } delete was[$1] }
         END { for (one in was) { print one " is missing"; bad = 1 } exit !bad }' "$1" "$2"
}

case_printed() {
    make a.b-c_d 10
    "$PTQ" get a.b-c_d >"$work/got" || fail "no queue"
    expect 0 "$PTQTOP" -o openmetrics
    nothing_said
    conforms "$work/out"
    is_told "$work/out" 'ptq_queue_messages{queue="a.b-c_d",state="ready"}' 9
    is_told "$work/out" 'ptq_messages_total{queue="a.b-c_d",op="acked"}' 1
    is_told "$work/out" ptq_queues 1
    expect 0 "$PTQTOP" -o openmetrics --run other
    is_told "$work/out" ptq_queues 0
}

# ptq check has the same words; what cannot be looked at is a figure, too.
case_checked() {
    make tasks 3
    expect 2 "$PTQ" check tasks --max-depth 2 -F openmetrics
    conforms "$work/out"
    is_told "$work/out" 'ptq_queue_messages{queue="tasks",state="ready"}' 3
    is_told "$work/out" 'ptq_check_state{queue="tasks"}' 2
    expect 3 "$PTQ" check none -F openmetrics
    conforms "$work/out"
    is_told "$work/out" 'ptq_check_state{queue="none"}' 3
    expect 3 "$PTQ" check $'no"na\\me\n\xff' -F openmetrics
    conforms "$work/out"
    is_told "$work/out" 'ptq_check_state{queue="no\"na\\me\n'$'\xef\xbf\xbd"}' 3
}

# What is not as the table says is found: this test is not blind.
case_faults_are_found() {
    local fault count=0
    make tasks
    expect 0 "$PTQTOP" -o openmetrics
    mv "$work/out" "$work/good"
    conforms "$work/good"
    for fault in 's/^# TYPE ptq_messages counter/# TYPE ptq_messages gauge/' 's/^ptq_messages_total/ptq_messages/' '/^# EOF/d' 's/,op="put"/,ob="put"/' \
        '/^# UNIT/d' 's/^ptq_queues /ptq_quaues /' 's/queue="tasks",state/queue="ta"sks",state/' 's/^\(ptq_queues.*\)/\1\n\1/' '$a x 1'; do
        sed "$fault" "$work/good" >"$work/bad"
        (conforms "$work/bad") 2>/dev/null && fail "accepted after $fault"
        count=$((count + 1))
    done
    sed 's/^ptq_messages_total{queue="tasks",op="put"} 1/ptq_messages_total{queue="tasks",op="put"} 0/' "$work/good" >"$work/bad"
    goes_back "$work/good" "$work/bad" >"$work/log" || fail "a counter that goes back is not seen"
    goes_back "$work/good" "$work/good" && fail "a counter that stays goes back"
    [ $count -eq 9 ] || fail "only $count faults"
}

case_misuse() {
    expect 2 "$PTQTOP" --serve 127.0.0.1:0 -o json
    expect 2 "$PTQTOP" --serve 127.0.0.1:0 --once
    expect 2 "$PTQTOP" -o openmetrics -n 2
    expect 2 "$PTQTOP" -o openmetrics --max-queues 0
    expect 6 "$PTQTOP" --serve 0.0.0.0:0
    err_has "beyond the loopback"
    expect 1 "$PTQTOP" --out "$work/none/file" --once
    err_has "cannot write figures: No such file or directory"
    expect 1 "$PTQTOP" --out /dev/null --once
    err_has "no regular file"
    [ -c /dev/null ] || fail "/dev/null was replaced"
    PTQ_INSECURE=1 start open "$PTQTOP" --serve 0.0.0.0:0
    wait_for has_line "$work/open.err" "figures on"
    kill "$pid"
    finish "$pid" 0
}

case_served() {
    serve one
    make tasks
    wait_for scraped 'ptq_queue_messages{queue="tasks",state="ready"} 1'
    conforms "$work/page"
    grep -qix 'content-type: application/openmetrics-text; version=1.0.0; charset=utf-8' "$work/head" || fail "$(cat "$work/head")"
    ask "$url/metrics" 'Accept: text/plain;version=0.0.4'
    grep -qix 'content-type: text/plain; version=0.0.4; charset=utf-8' "$work/head" || fail "$(cat "$work/head")"
    ! grep -q '# EOF' "$work/page" && grep -qx '# TYPE ptq_messages_total counter' "$work/page" || fail "not the older form"
    ask "$url/healthz"
    [ "$(cat "$work/page")" = ok ] || fail "healthz: $(cat "$work/answer")"
    ask "$url/elsewhere"
    grep -q ' 404 ' "$work/head" || fail "$(cat "$work/head")"
    rm -rf "$PTQ_DIR" # as after a reboot: another bus in the place of this one
    make later
    wait_for scraped 'ptq_queue_messages{queue="later",state="ready"} 1'
    is_told "$work/page" ptq_queues 1
    kill "$pid"
    finish "$pid" 0
}

case_file_is_whole() {
    local looks=0 end=$((SECONDS + deadline_seconds))
    make tasks
    expect 0 "$PTQTOP" --out "$work/figures" -d 0.002 -n 3
    : >"$work/seen"
    start writer "$PTQTOP" --out "$work/figures" -d 0.002
    while [ $looks -lt 100 ]; do
        [ $SECONDS -lt $end ] || fail "it was looked at only $looks times"
        [ "$work/figures" -nt "$work/seen" ] || continue # each time it has been written anew
        cat "$work/figures" >"$work/seen" || fail "it was not there"
        [ "$(head -c 6 "$work/seen")" = "# TYPE" ] && [ "$(tail -n 1 "$work/seen")" = "# EOF" ] || fail "a part was seen: $(wc "$work/seen")"
        looks=$((looks + 1))
    done
    kill "$pid"
    finish "$pid" 0
    conforms "$work/figures"
    expect 0 "$PTQTOP" --out "$work/figures.prom" --once
    grep -qx '# TYPE ptq_messages_total counter' "$work/figures.prom" || fail "node_exporter does not read this"
    ls "$work" | grep -q 'part$' && fail "$(ls "$work")"
    [ "$(stat -c %a "$work/figures.prom")" = 644 ] || fail "nobody else may read it"
    # What cannot be written is said once, and tried again.
    mkdir "$work/later"
    start patient "$PTQTOP" --out "$work/later/too/figures" -d 0.01
    wait_for has_line "$work/patient.err" "cannot write figures"
    mkdir "$work/later/too"
    wait_for test -s "$work/later/too/figures"
    [ "$(grep -c . "$work/patient.err")" -eq 1 ] || fail "said more than once"
    kill "$pid"
    finish "$pid" 0
}

case_chosen() {
    local i
    for i in 1 2 3 4 5; do make "some-$i"; make "other-$i"; done
    expect 0 "$PTQTOP" -o openmetrics -f some
    is_told "$work/out" ptq_queues 5
    expect 0 "$PTQTOP" -o openmetrics -f '*-3'
    is_told "$work/out" ptq_queues 2
    expect 0 "$PTQTOP" -o openmetrics --max-queues 4
    is_told "$work/out" ptq_queues 4
    is_told "$work/out" ptq_untold_queues 6
    # Who was told of stays, whoever comes.
    "$PTQ" rm --force other-1 && "$PTQ" rm --force other-2 && "$PTQ" rm --force some-1 || fail "no rm"
    serve few --max-queues 7
    wait_for scraped 'ptq_queues 7'
    make a-new-one
    wait_for scraped 'ptq_untold_queues 1'
    is_told "$work/page" 'ptq_queue_messages{queue="some-5",state="ready"}' 1
    "$PTQ" rm --force some-3 || fail "no rm"
    wait_for scraped 'ptq_queue_messages{queue="a-new-one",state="ready"} 1'
    is_told "$work/page" ptq_untold_queues 0
}

# Producers and consumers are killed all the while: no counter goes back, and in the end all are what was done.
case_counters_of_the_killed() {
    local round dying
    "$PTQ" create tasks --capacity 100000 || fail "no queue"
    serve one
    ask "$url/metrics"
    cp "$work/page" "$work/before"
    for round in 1 2 3 4 5 6; do
        start put "$PTQ" put tasks --line
        kill -KILL "$pid"
        wait "$pid"
        "$PTQ" put tasks --line < <(seq 100)
        start get "$PTQ" get tasks --follow --exec 'sleep 60'
        dying=$pid
        wait_for figure_is tasks leased 1
        kill -KILL "$dying"
        wait "$dying" # or it would be taken for alive
        start drain "$PTQ" get tasks --follow -F line
        kill -KILL "$pid"
        wait "$pid"
        "$PTQ" get tasks -n 20 --timeout 0 >"$work/got" # who drained may have got far
        "$PTQ" gc
        rm -f "$work/page"
        wait_for scraped_anew
        goes_back "$work/before" "$work/page" && fail "round $round: a counter went back"
        cp "$work/page" "$work/before"
    done >"$work/log" 2>&1
    [ "$round" = 6 ] || fail "not all rounds: $(tail -3 "$work/log")"
    wait_for scraped "ptq_messages_total{queue=\"tasks\",op=\"put\"} 600"
    wait_for scraped "ptq_messages_total{queue=\"tasks\",op=\"acked\"} $("$PTQ" stats tasks acked)"
    grep -q '^ptq_recoveries_total{queue="tasks"} [1-9]' "$work/page" || fail "nobody was recovered: $(grep recoveries "$work/page")"
}
scraped_anew() { ask "$url/metrics" && grep -qx '# EOF' "$work/page"; }

# A queue that was removed is silent, and counts on when it is made again; to a new watcher it begins anew, lower.
case_made_again() {
    local put='ptq_messages_total{queue="tasks",op="put"}' made
    serve one
    make tasks 10
    wait_for scraped "$put 10"
    made=$(grep '^ptq_queue_made_timestamp_seconds{queue="tasks"}' "$work/page")
    "$PTQ" rm --force tasks
    wait_for scraped 'ptq_queues 0'
    grep -qF "$put" "$work/page" && fail "a removed queue is told of"
    make tasks 3
    wait_for scraped "$put 13"
    [ "$made" != "$(grep '^ptq_queue_made_timestamp_seconds{queue="tasks"}' "$work/page")" ] || fail "one cannot see that it is another queue"
    expect 0 "$PTQTOP" -o openmetrics
    is_told "$work/out" "$put" 3
}

# Workers that are killed take with them what they did, and it stays told.
case_pools() {
    local jobs='ptq_pool_worker_jobs_total{pool="p",outcome="done"}' run
    mkfifo "$work/gate"
    exec 8<>"$work/gate" # each byte lets one job end
    seq 5 >"$work/lines"
    "$PTQ" pool run p --workers 2 --exec "cat; read -r ended <'$work/gate'" <"$work/lines" >"$work/results" 2>"$work/run.err" &
    run=$!
    children+=("$run")
    serve one
    wait_for scraped 'ptq_pool_workers{pool="p",state="works"} 2'
    conforms "$work/page"
    grep -q '^ptq_pool_head_seconds{pool="p"} ' "$work/page" || fail "nobody has the head: $(grep '^ptq_pool' "$work/page")"
    grep -q '^ptq_pool_window{pool="p"} [1-9]' "$work/page" || fail "no window"
    is_told "$work/page" "$jobs" 0
    printf '\n\n' >&8
    wait_for scraped "$jobs 2"
    wait_for scraped 'ptq_pool_workers{pool="p",state="works"} 2'
    pool_lines "$work/page" >"$work/before"
    kill -KILL "$("$PTQ" pool status p --json | jq '[.. | objects | .pid? // empty] | .[0]')" || fail "no worker"
    printf '\n\n\n\n' >&8
    until is_gone "$run"; do
        ask "$url/metrics"
        pool_lines "$work/page" >"$work/now"
        [ -s "$work/now" ] || continue
        goes_back "$work/before" "$work/now" && fail "a counter went back"
        mv "$work/now" "$work/before"
    done
    cmp "$work/lines" "$work/results" || fail "results: $(tr '\n' ' ' <"$work/results") $(cat "$work/run.err")"
    exec 8>&-
}
pool_lines() { grep '^ptq_pool_worker_.*_total{' "$1"; }

case_bridge() {
    make tasks
    start bridge "$BRIDGE" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --peer "far=tcp://127.0.0.1:9"
    wait_for has_line "$work/bridge.err" "pages on"
    url=$(sed -n 's/.*pages on //p' "$work/bridge.err")
    wait_for scraped 'ptq_peer_up{peer="far"} 0'
    conforms "$work/page"
    is_told "$work/page" 'ptq_queue_messages{queue="tasks",state="ready"}' 1
    kill "$pid"
    finish "$pid" 0
}

case_table_of_the_documentation() {
    [ "$("$source/tools/dev/metrics" | wc -l)" -eq $(($(grep -c '^FAMILY(' "$source/src/metrics/families.def") + 2)) ] ||
        fail "a row of families.def has another form"
    "$source/tools/dev/metrics" >"$work/table"
    sed -n '/^<!-- figures:/,/^<!-- end of figures/p' "$source/docs/metrics.md" | grep '^|' | cmp - "$work/table" ||
        fail "docs/metrics.md does not print src/metrics/families.def: tools/dev/metrics --write"
    expect 0 "$PTQTOP" -o openmetrics
    conforms "$work/out"
    sed -n 's/^FAMILY([A-Z_]*, [A-Z]*, "\([a-z_]*\)", "[a-z]*", "[a-z ]*", bus,.*/\1/p' "$source/src/metrics/families.def" | sort >"$work/should"
    sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/out" | sort | cmp - "$work/should" || fail "ptqtop does not tell all of it, or more"
}

run_cases
