# plot.awk -- one picture as SVG: bars on a logarithmic axis, or lines on two.  The same figures give the same bytes.
#
# Input: the file `plots`, then medians (group|key|unit|median|least|most|n|tag).  picture=NAME.  Prints nothing where
# there is nothing to draw.

FILENAME ~ /plots$/ {
    if ($1 == "picture" && $2 == picture) {
        shape = $3; heading = $4; axis = $5
    } else if (($1 == "bar" || $1 == "line") && $2 == picture) {
        count++
        group[count] = $3; key[count] = $4; colour[count] = $5; text[count] = $6
    }
    next
}

{
    factor = $3 == "ns" ? 0.001 : 1
    value[$1, $2] = $4 * factor; least[$1, $2] = $5 * factor; most[$1, $2] = $6 * factor
    keys[$1] = keys[$1] " " $2
}

function log10(x) { return log(x) / log(10) }

function floor(x,    i) {
    i = int(x)
    return i > x ? i - 1 : i
}

function ceiling(x) { return -floor(-x) }

# 1,2 figures after the point where it is small.
function short(x) {
    return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 0.1 ? "%.2f" : "%.3f", x)
}

function power(x) { return x < 0 ? sprintf("%.*f", -x, 10 ^ x) : sprintf("%d", 10 ^ x) }

function escape(s) {
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    return s
}

function say(x, y, anchor, class, s) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", x, y, anchor
    printf "%s>%s</text>\n", (class == "" ? "" : " class=\"" class "\""), escape(s)
}

function open_picture(width, height) {
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" ", width, height
    printf "viewBox=\"0 0 %d %d\" role=\"img\" ", width, height
    printf "font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#24292f\">\n"
    printf "<title>%s</title>\n", escape(heading)
    print "<style>.h{font-size:16px;font-weight:bold}.s{fill:#57606a}.g{stroke:#d0d7de;stroke-width:1}" \
          ".ptq{fill:#1a7f37;stroke:#1a7f37}.limit{fill:#8c959f;stroke:#8c959f}.peer{fill:#0969da;stroke:#0969da}" \
          ".threads{fill:#bc6c25;stroke:#bc6c25}.l{fill:none;stroke-width:2.5}.e{stroke:#24292f;stroke-width:1}</style>"
    printf "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height
    say(16, 26, "start", "h", heading)
}

function draw_bars(    i, y, low, high, left, right, x, top, height, d, v, k) {
    left = 290; right = 730; top = 66
    for (i = 1; i <= count; i++) {
        v = value[group[i], key[i]]
        if (v <= 0)
            continue
        shown++
        if (low == "" || v < low)
            low = v
        if (v > high)
            high = v
    }
    if (!shown)
        return
    low = floor(log10(low) - 0.05); high = ceiling(log10(high))
    height = top + shown * 26 + 20
    open_picture(820, height)
    say(16, 46, "start", "s", axis ", logarithmic")
    for (d = low; d <= high; d++) {
        x = left + (right - left) * (d - low) / (high - low)
        printf "<line class=\"g\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x, top - 6, x, height - 16
        say(x, height - 3, "middle", "s", power(d))
    }
    y = top
    for (i = 1; i <= count; i++) {
        k = group[i] SUBSEP key[i]
        v = value[k]
        if (v <= 0)
            continue
        x = left + (right - left) * (log10(v) - low) / (high - low)
        say(left - 8, y + 13, "end", "", text[i])
        printf "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"18\"/>\n", colour[i], left, y, x - left
        say(x + 6, y + 14, "start", "", short(v))
        y += 26
    }
    print "</svg>"
}

function name_of_size(size) {
    return size >= 1048576 ? size / 1048576 " MiB" : size >= 1024 ? size / 1024 " KiB" : size " B"
}

function x_of(size) { return left + (right - left) * (log(size) - log(first)) / (log(last) - log(first)) }
function y_of(v) { return bottom - (bottom - top) * (log10(v) - low) / (high - low) }

function draw_lines(    i, j, n, list, size, v, d, points, end, x, y, k) {
    left = 70; right = 640; top = 66; bottom = 400; first = last = 0
    for (i = 1; i <= count; i++) {
        n = split(keys[group[i]], list, " ")
        for (j = 1; j <= n; j++) {
            if (index(list[j], key[i]) != 1 || substr(list[j], length(key[i]) + 1) !~ /^[0-9]+$/)
                continue
            size = substr(list[j], length(key[i]) + 1) + 0
            v = value[group[i], list[j]]
            if (v <= 0)
                continue
            at[i, ++points_of[i]] = size
            high_of[i, points_of[i]] = v
            sizes[size] = 1
            if (!first || size < first)
                first = size
            if (size > last)
                last = size
            if (low == "" || v < low)
                low = v
            if (v > high)
                high = v
        }
    }
    if (first == last)
        return
    low = floor(log10(low)); high = ceiling(log10(high))
    open_picture(820, 440)
    say(16, 46, "start", "s", axis ", by size of message, both logarithmic")
    for (d = low; d <= high; d++) {
        y = y_of(10 ^ d)
        printf "<line class=\"g\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", left, y, right, y
        say(left - 8, y_of(10 ^ d) + 4, "end", "s", power(d))
    }
    for (size = 1; size <= last; size *= 2) {
        if (!(size in sizes))
            continue
        x = x_of(size)
        printf "<line class=\"g\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x, bottom, x, bottom + 5
        say(x_of(size), bottom + 20, "middle", "s", name_of_size(size))
    }
    for (i = 1; i <= count; i++) {
        if (!points_of[i])
            continue
        points = ""
        for (j = 1; j <= points_of[i]; j++) {
            x = x_of(at[i, j]); y = y_of(high_of[i, j])
            points = points sprintf(" %.1f,%.1f", x, y)
            printf "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colour[i], x, y
            end = high_of[i, j]
        }
        printf "<polyline class=\"%s l\" style=\"fill:none\" points=\"%s\"/>\n", colour[i], substr(points, 2)
        # Names stand at the ends of their lines, not upon each other.
        for (k = 1; k <= named; k++) {
            if (y - name_at[k] < 17 && name_at[k] - y < 17)
                y = name_at[k] + (y >= name_at[k] ? 17 : -17)
        }
        name_at[++named] = y
        say(x + 10, y + 4, "start", "", text[i] " " short(end))
    }
    print "</svg>"
}

END {
    if (shape == "bars")
        draw_bars()
    else if (shape == "lines")
        draw_lines()
}
