#!/bin/bash
# test_prometheus.sh PTQ PTQTOP MAN PTQBRIDGE -- Debian's Prometheus reads what ptq tells, and the alert rules and the dashboard of docs/metrics.
#
# Prometheus is started here, with a configuration and a storage of its own, on a free port of the loopback, and ended by its pid.  It is on the
# PATH, or where tools/dev/need unpacked it.
. "$(dirname "$0")/../lib.sh"
BRIDGE=$4
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../../.." && pwd)
PATH=$PATH:$source/build/packages/usr/bin
for program in prometheus promtool prometheus-node-exporter; do
    command -v $program >/dev/null || { echo "skipped: there is no $program (tools/dev/need loose)"; exit 77; }
done

# get URL [HEADER]: its body, on standard output.
get() {
    local place=${1#http://}
    { exec 7<>"/dev/tcp/${place%%:*}/$(echo "${place#*:}" | sed "s|/.*||")"; } 2>/dev/null || return 1
    printf 'GET /%s HTTP/1.0\r\nHost: x\r\n%s\r\n' "${place#*/}" "${2:+$2$'\r\n'}" >&7
    sed '1,/^\r$/d' <&7
    exec 7>&-
}

encode() { jq -nr --arg text "$1" '$text | @uri'; }

# prometheus_start PTQ NODE: it reads these, lists of HOST:PORT, five times a second; its address is in $server.
prometheus_start() {
    cat >"$work/prometheus.yml" <<TEXT
global: {scrape_interval: 200ms, evaluation_interval: 1s}
rule_files: ['$source/docs/metrics/alerts.yml']
scrape_configs:
  - {job_name: ptq, static_configs: [{targets: [$1]}]}
  - {job_name: node, static_configs: [{targets: [$2]}]}
TEXT
    promtool check config "$work/prometheus.yml" >"$work/out" 2>&1 || fail "its configuration is not right"
    start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/storage" --web.listen-address=127.0.0.1:0
    wait_for has_line "$work/prometheus.err" 'Server is ready to receive web requests'
    server=http://$(listens_on "$work/prometheus.err")
}
listens_on() { sed -n 's/.*msg="Listening on" address=\([0-9.:]*\).*/\1/p' "$1"; }

# query EXPRESSION: its answer is in $work/answer; false: it is none.
query() {
    get "$server/api/v1/query?query=$(encode "$1")" >"$work/answer"
    [ "$(jq -r .status "$work/answer")" = success ]
}
# has_data EXPRESSION: it answers with something; not_here: what does not happen to these queues.
not_here='ptq_(dropped_messages|recoveries|moved_messages|refusals)_total|op="redelivered"|ptq_peer_rtt|ptq_cap_used|ptq_certificate'
has_data() {
    query "$1" && jq -e '.data.result | length > 0' "$work/answer" >/dev/null
}
value_is() { query "$1" && [ "$(jq -r '.data.result[0].value[1]' "$work/answer")" = "$2" ]; }
value() { query "$1" && jq -r '.data.result[0].value[1] // "none"' "$work/answer"; }
is_more() { query "$1" && jq -e --argjson than "$2" '(.data.result[0].value[1] // "0" | tonumber) > $than' "$work/answer" >/dev/null; }

serve() {
    start "$1" "$PTQTOP" --serve 127.0.0.1:0
    wait_for has_line "$work/$1.err" "figures on"
    target=$(sed -n 's|.*http://\(.*\)/metrics|\1|p' "$work/$1.err")
}

# The expressions of the dashboard and of the rules, a line each, with values for Grafana's variables.
expressions() {
    jq -r '[.. | objects | (.expr? // empty), (.definition? // empty | capture("label_values\\((?<e>.*), [a-z]+\\)").e)] | .[]' \
        "$source/docs/metrics/dashboard.json" | sed 's/\$__rate_interval/1m/g; s/\$\(instance\|queue\|pool\)/.*/g'
}

# All of it with one server: it takes a second to begin.
case_scraped() {
    local count expression pages top put='ptq_messages_total{job="ptq",queue="tasks",op="put"}'
    "$PTQ" create tasks --capacity 1000 --stamps all && "$PTQ" put tasks --line < <(seq 7) || fail "no queue"
    "$PTQ" get tasks -n 2 >"$work/got"
    mkfifo "$work/hold"
    "$PTQ" pool run held --workers 1 --exec "cat '$work/hold'" < <(echo 1) >"$work/held" &
    children+=("$!")
    wait_for pool_works held # made behind the bridge, it would have to ask the peer who does not answer; and its worker is told of, too
    start bridge "$BRIDGE" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --peer "far=tcp://127.0.0.1:9"
    wait_for has_line "$work/bridge.err" "pages on"
    pages=$(sed -n 's|.*pages on http://||p' "$work/bridge.err")
    serve top
    top=$pid
    mkdir "$work/textfiles"
    start out "$PTQTOP" --out "$work/textfiles/ptq.prom" -d 0.05
    start node prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$work/textfiles" \
        --web.listen-address=127.0.0.1:0
    wait_for has_line "$work/node.err" "Listening on"
    prometheus_start "'$pages', '$target'" "'$(listens_on "$work/node.err")'"

    # Both are up, which a page that does not parse is not; and what they tell is what is there.
    wait_for value_is 'sum(up)' 3
    wait_for value_is 'count(ptq_queue_messages{job="ptq",queue="tasks",state="ready"} == 5)' 2
    wait_for value_is "count($put == 7)" 2
    wait_for value_is 'ptq_queue_messages{job="node",queue="tasks",state="ready"}' 5
    wait_for value_is 'ptq_queue_wait_seconds_count{job="node",queue="tasks"}' 2
    wait_for value_is 'node_textfile_scrape_error' 0
    wait_for value_is "ptq_peer_up{peer=\"far\"}" 0
    [ "$(value 'scrape_samples_scraped{job="ptq",instance="'"$target"'"}')" = "$("$PTQTOP" -o openmetrics | grep -vc '^#')" ] ||
        fail "not all of it was read: $(value 'scrape_samples_scraped{job="ptq",instance="'"$target"'"}')"
    # It asked for OpenMetrics: types and units are known as they are told.
    get "$server/api/v1/targets/metadata?metric=ptq_queue_wait_seconds&match_target=$(encode '{job="ptq"}')" >"$work/answer"
    jq -e '.data | length == 2 and all(.type == "histogram" and .unit == "seconds")' "$work/answer" >/dev/null || fail "$(cat "$work/answer")"
    get "$server/api/v1/targets/metadata?metric=ptq_messages&match_target=$(encode '{job="ptq"}')" >"$work/answer"
    jq -e '.data | length == 2 and all(.type == "counter")' "$work/answer" >/dev/null || fail "$(cat "$work/answer")"

    # A queue that is made again, and a watcher that begins anew: a reset, after which increases are right.
    wait_for is_more "count_over_time(${put%\}},instance=\"$target\"}[1h])" 3
    kill "$top" && finish "$top" 0
    "$PTQ" rm --force tasks && "$PTQ" create tasks@self --capacity 1000 && "$PTQ" put tasks@self --line < <(seq 3) || fail "not made again"
    start top "$PTQTOP" --serve "$target"
    wait_for value_is "${put%\}},instance=\"$target\"}" 3
    wait_for value_is "resets(${put%\}},instance=\"$target\"}[1h])" 1
    wait_for value_is "${put%\}},instance=\"$pages\"}" 10 # who went on counts on
    wait_for value_is "resets(${put%\}},instance=\"$pages\"}[1h])" 0

    # Each expression is one, and answers with data but where what it is about has not happened; and each alert rule was evaluated.
    count=0
    while read -r expression; do
        query "$expression" || fail "no expression: $expression: $(cat "$work/answer")"
        grep -qE "$not_here" <<<"$expression" || wait_for has_data "$expression"
        count=$((count + 1))
    done < <(expressions)
    [ $count -ge 30 ] || fail "only $count expressions"
    echo >"$work/hold"
    wait_for rules_are_well
    for child in "${children[@]}"; do kill "$child" 2>/dev/null; done
    wait
}
pool_works() { "$PTQ" pool status "$1" --json 2>/dev/null | jq -e '.averages.working == 1' >/dev/null; }
rules_are_well() { get "$server/api/v1/rules" >"$work/answer" && jq -e '[.data.groups[].rules[]] | length > 10 and all(.health == "ok")' "$work/answer" >/dev/null; }

case_rules() {
    promtool check rules "$source/docs/metrics/alerts.yml" >"$work/out" 2>&1 || fail "promtool check rules"
    promtool test rules "$here/alerts.test.yml" >"$work/out" 2>&1 || fail "promtool test rules"
    # Each alert has a test in which it is silent, and one in which it fires.
    sed -n 's/.*- alert: //p' "$source/docs/metrics/alerts.yml" >"$work/alerts"
    [ "$(wc -l <"$work/alerts")" -ge 10 ] || fail "only $(wc -l <"$work/alerts") alerts were found"
    while read -r alert; do
        grep -q "{alertname: $alert, eval_time: " "$here/alerts.test.yml" || fail "no test in which $alert is silent"
        grep -qx "      - alertname: $alert" "$here/alerts.test.yml" || fail "no test in which $alert fires"
        grep -qF "\`$alert\`" "$source/docs/metrics.md" || fail "docs/metrics.md does not say what to do about $alert"
    done <"$work/alerts"
}

case_promtool_finds_nothing() {
    "$PTQ" create tasks && "$PTQ" put tasks hello || fail "no queue"
    expect 0 "$PTQTOP" --out "$work/figures.prom" --once
    promtool check metrics <"$work/figures.prom" >"$work/out" 2>&1 || fail "promtool check metrics"
    out_is_empty
    start bridge "$BRIDGE" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --peer "far=tcp://127.0.0.1:9"
    wait_for has_line "$work/bridge.err" "pages on"
    get "$(sed -n 's/.*pages on //p' "$work/bridge.err")/metrics" 'Accept: text/plain' | promtool check metrics >"$work/out" 2>&1 || fail "promtool check metrics"
    out_is_empty
}

# Rules and dashboard ask for nothing that is not told.
case_names_are_told() {
    "$source/tools/dev/metrics" | sed -n 's/^| `\([a-z_]*\)` | \([a-z]*\) .*/\1 \2/p' |
        sed 's/^\(.*\) histogram$/\1_bucket\n\1_count\n\1_sum/; s/ .*//' | sort >"$work/told"
    grep -ho 'ptq_[a-z0-9_]*(' "$source"/src/include/ptq/*.h | tr -d '(' >"$work/calls" # a page may name those, too
    { expressions; cat "$source/docs/metrics/alerts.yml" "$source/docs/operations.md"; } | grep -o '\bptq_[a-z_]*' | sort -u |
        grep -vxF -e ptq_bridge -f "$work/calls" >"$work/asked"
    [ "$(wc -l <"$work/asked")" -ge 25 ] || fail "only $(wc -l <"$work/asked") names were found"
    comm -23 "$work/asked" "$work/told" >"$work/out"
    out_is_empty
}

run_cases
