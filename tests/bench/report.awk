# report.awk -- from single measurements to medians, spreads and ratios.
#
# Input: group|round|key|value|tag|probe before|probe after.  want=rounds: how many rounds of `group` count;
# want=table: the table, as markdown.

function sort(list, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = list[i]
        for (j = i - 1; j >= 1 && list[j] > x; j--)
            list[j + 1] = list[j]
        list[j + 1] = x
    }
}

function median(list, n) {
    if (n == 0)
        return 0
    sort(list, n)
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# Three figures that matter.
function short(x) {
    if (x >= 1000)
        return sprintf("%d", x + 0.5)
    return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 1 ? "%.2f" : "%.3f", x)
}

{
    n++
    group_of[n] = $1; round_of[n] = $2; key_of[n] = $3; value_of[n] = $4 + 0; tag_of[n] = $5
    at[$1, $2, $3] = n
    if ($3 == "reference" && $5 != "moved")
        references[$5, ++reference_count[$5]] = $4 + 0
    if ($2 > rounds[$1])
        rounds[$1] = $2
    tags[$5] = 1
}

# A round is void when its reference ring fell under 0.8 of its own median for that tag.
function is_void(group, round,    i, m, list, tag) {
    i = at[group, round, "reference"]
    if (!i || tag_of[i] == "moved")
        return 0
    tag = tag_of[i]
    for (m = 1; m <= reference_count[tag]; m++)
        list[m] = references[tag, m]
    return value_of[i] < 0.8 * median(list, reference_count[tag])
}

function good(group, round, key, tag,    i) {
    i = at[group, round, key]
    return i && tag_of[i] == tag && !void[group, round]
}

# One row: median and spread of `key` under `tag`, and its ratio to `base`, pair by pair.
function row(group, key, base, unit, label, tag,    r, m, p, list, ratios, text) {
    m = p = 0
    for (r = 1; r <= rounds[group]; r++) {
        if (!good(group, r, key, tag))
            continue
        list[++m] = value_of[at[group, r, key]]
        if (base != "-" && good(group, r, base, tag) && value_of[at[group, r, base]] > 0)
            ratios[++p] = list[m] / value_of[at[group, r, base]]
    }
    if (m == 0)
        return
    text = short(median(list, m))
    text = sprintf("| %s | %s | %s | %s–%s | %d | %s |", label, unit, text, short(list[1]), short(list[m]), m, tag)
    if (p > 0) {
        r = median(ratios, p)
        text = text sprintf(" %s (%s–%s) | %s |", short(r), short(ratios[1]), short(ratios[p]), base_name[base])
    } else
        text = text " | |"
    print text
}

function head(title) {
    print ""
    print "### " title
    print ""
    print "| | unit | median | spread | n | cores | ratio, pair by pair | to |"
    print "|---|---|---:|---|---:|---|---|---|"
}

END {
    for (g in rounds) {
        for (r = 1; r <= rounds[g]; r++)
            void[g, r] = is_void(g, r)
    }
    if (want == "rounds") {
        for (r = 1; r <= rounds[group]; r++)
            count += !void[group, r] && tag_of[at[group, r, "reference"]] != "moved"
        print count + 0
        exit
    }
    title["stream"] = "64 B messages, one producer, one consumer, two cores"
    title["many"] = "64 B messages, two producers, two consumers, two cores"
    title["sizes"] = "Larger messages, one producer, one consumer"
    title["trip"] = "There and back, nobody sleeps"
    title["sleep"] = "There and back, both make calls that wait"
    title["tcp"] = "TCP on the loopback, 64 B messages"
    title["cost"] = "Coming, going, waiting"
    base_name["reference"] = "reference ring"
    base_name["vyukov_hard"] = "reference ring, hard"
    base_name["vyukov22"] = "reference ring"
    base_name["flag64"] = "flag, 64 B"
    base_name["futex2"] = base_name["futex1"] = "futex"
    base_name["zeromq"] = "ZeroMQ"
    order = "siblings near middle far"
    tag_count = split(order, tag_list, " ")
    while ((getline line < entries) > 0) {
        split(line, field, "|")
        g = field[1]
        if (!(g in rounds))
            continue
        if (g != last) {
            head(title[g])
            for (t = 1; t <= tag_count; t++)
                row(g, "reference", "-", "M/s", "reference ring, 1 + 1, polling as ptq does", tag_list[t])
        }
        last = g
        for (t = 1; t <= tag_count; t++)
            row(g, field[2], field[3], field[4], field[5], tag_list[t])
    }
    while ((getline line < idle) > 0) {
        split(line, field, "|")
        printf "| %s | %s | %s | | 1 | | | |\n", field[3], field[1], field[2]
    }
    for (i = 1; i <= n; i++)
        moved += tag_of[i] == "moved"
    for (g in rounds) {
        for (r = 1; r <= rounds[g]; r++)
            voided += void[g, r]
    }
    print ""
    printf "%d measurements; %d rounds void (the reference ring fell under 0.8 of its median), ", n, voided
    printf "%d measurements left out because the cores moved.\n", moved
}
