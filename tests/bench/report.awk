# report.awk -- from single measurements to medians, spreads, ratios and goals.
#
# Input: group|round|key|value|tag|probe before|probe after; lines with # are words.  want=rounds: how many rounds of
# `group` count; want=table: goals and tables, as markdown; want=medians: group|key|unit|median|least|most|n|tag.

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
    return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 1 ? "%.2f" : x == 0 ? "%d" : "%.3f", x)
}

/^#/ { next }

{
    n++
    group_of[n] = $1; round_of[n] = $2; key_of[n] = $3; value_of[n] = $4 + 0; tag_of[n] = $5
    at[$1, $2, $3] = n
    if ($3 == "reference" && $5 != "moved")
        references[$5, ++reference_count[$5]] = $4 + 0
    if ($2 > rounds[$1])
        rounds[$1] = $2
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

# Into m_count, m_median, m_least, m_most: `key` under `tag`; into r_...: its ratio to `base`, pair by pair, in the
# same unit.
function look(group, key, base, tag,    r, list, ratios, factor) {
    m_count = r_count = 0
    factor = unit_of[key] == "us" && unit_of[base] == "ns" ? 1000 : 1
    for (r = 1; r <= rounds[group]; r++) {
        if (!good(group, r, key, tag))
            continue
        list[++m_count] = value_of[at[group, r, key]]
        if (base != "-" && good(group, r, base, tag) && value_of[at[group, r, base]] > 0)
            ratios[++r_count] = factor * list[m_count] / value_of[at[group, r, base]]
    }
    m_median = median(list, m_count); m_least = list[1]; m_most = list[m_count]
    r_median = median(ratios, r_count); r_least = ratios[1]; r_most = ratios[r_count]
}

function spread(least, most, count) {
    return count > 1 ? short(least) "–" short(most) : ""
}

# Of what was looked at last.
function ratio() {
    return short(r_median) (r_count > 1 ? " (" spread(r_least, r_most, r_count) ")" : "")
}

function row(group, key, base, unit, label, tag) {
    look(group, key, base, tag)
    if (m_count == 0)
        return
    printf "| %s | %s | %s | %s | %d | %s |", label, unit, short(m_median), spread(m_least, m_most, m_count), m_count, tag
    if (r_count > 0)
        printf " %s | %s |\n", ratio(), name_of[base]
    else
        print " | |"
}

# The tag under which there is most to say about key and base.
function best_tag(group, key, base,    t, best, most, count) {
    most = 0
    for (t = 1; t <= tag_count; t++) {
        look(group, key, base, tag_list[t])
        count = base == "-" ? m_count : r_count
        if (count > most) {
            most = count
            best = tag_list[t]
        }
    }
    return best
}

function goal(key, base, sign, wanted, label,    group, tag, value, figure, met) {
    group = group_for[key]
    if (group != "" && !(group in rounds))
        return # not asked for
    tag = group == "" ? "" : best_tag(group, key, base)
    figure = wanted " " (base == "-" ? unit_of[key] : "× " (base in name_of ? name_of[base] : base))
    sub(/^/, sign == ">=" ? "≥ " : "≤ ", figure)
    if (tag == "") {
        printf "| %s | | | | | | | %s | not measured |\n", label, figure
        return
    }
    look(group, key, base, tag)
    value = base == "-" ? m_median : r_median
    met = sign == ">=" ? (value >= wanted) : (value <= wanted)
    reached += met
    asked++
    printf "| %s | %s | %s | %s | %d | %s | %s | %s | %s |\n", label, unit_of[key], short(m_median), \
        spread(m_least, m_most, m_count), m_count, tag, (base == "-" ? "" : ratio()), figure, (met ? "**yes**" : "no")
}

function print_goals(    line, field) {
    print ""
    print "### What is aimed at"
    print ""
    print "| | unit | median | spread | n | cores | ratio, pair by pair | goal | reached |"
    print "|---|---|---:|---|---:|---|---|---|---|"
    while ((getline line < goals) > 0) {
        if (line !~ /^#/ && split(line, field, "|") == 5)
            goal(field[1], field[2], field[3], field[4] + 0, field[5])
    }
    print ""
    printf "%d of %d are reached. ", reached, asked
    print "Here and below, a ratio is the median of its rounds' ratios, not the ratio of two medians."
}

function print_tables(    i, g, t, last, voided, moved, r, all_void) {
    for (i = 1; i <= entry_count; i++) {
        g = entry_group[i]
        if (!(g in rounds))
            continue
        if (g != last) {
            print ""
            print "### " title[g]
            print ""
            for (r = all_void = 1; r <= rounds[g]; r++)
                all_void = all_void && void[g, r]
            if (all_void)
                print "Every round was void: the reference ring was never itself. Something else was running.\n"
            print "| | unit | median | spread | n | cores | ratio, pair by pair | to |"
            print "|---|---|---:|---|---:|---|---|---|"
            for (t = 1; t <= tag_count; t++)
                row(g, "reference", "-", "M/s", "reference ring, 64 B, 1 + 1, polling as ptq does", tag_list[t])
        }
        last = g
        for (t = 1; t <= tag_count; t++)
            row(g, entry_key[i], entry_base[i], unit_of[entry_key[i]], entry_label[i], tag_list[t])
    }
    for (i = 1; i <= n; i++)
        moved += tag_of[i] == "moved"
    for (g in rounds) {
        for (r = 1; r <= rounds[g]; r++)
            voided += void[g, r]
    }
    print ""
    printf "%d figures; %d rounds void (the reference ring fell under 0.8 of its median), ", n, voided
    printf "%d figures left out because the cores moved.\n", moved
}

function print_medians(    i, g, tag) {
    for (i = 1; i <= entry_count; i++) {
        g = entry_group[i]
        tag = best_tag(g, entry_key[i], "-")
        if (tag == "")
            continue
        look(g, entry_key[i], "-", tag)
        printf "%s|%s|%s|%.6g|%.6g|%.6g|%d|%s\n", g, entry_key[i], unit_of[entry_key[i]], m_median, m_least, m_most, m_count, tag
    }
}

function read_entries(    line, field, name) {
    while ((getline line < titles) > 0) {
        split(line, field, "|")
        title[field[1]] = field[2]
    }
    unit_of["reference"] = "M/s"
    name_of["reference"] = "reference ring"
    while ((getline line < entries) > 0) {
        split(line, field, "|")
        entry_count++
        entry_group[entry_count] = field[1]; entry_key[entry_count] = field[2]
        entry_base[entry_count] = field[3]; entry_label[entry_count] = field[5]
        group_for[field[2]] = field[1]
        unit_of[field[2]] = field[4]
        name = field[5]
        gsub(/\*\*/, "", name)
        sub(/^(limit|peer[^:]*): /, "", name)
        name_of[field[2]] = name
    }
}

END {
    for (g in rounds) {
        for (r = 1; r <= rounds[g]; r++)
            void[g, r] = is_void(g, r)
    }
    if (want == "rounds") {
        for (r = 1; r <= rounds[group]; r++)
            count += !void[group, r] && at[group, r, "reference"] && tag_of[at[group, r, "reference"]] != "moved"
        print count + 0
        exit
    }
    tag_count = split("siblings near middle far", tag_list, " ")
    read_entries()
    if (want == "medians") {
        print_medians()
        exit
    }
    print_goals()
    print_tables()
}
