# compare.awk -- is what was printed what the page shows?
#
#   awk -v vary=yes|- -f compare.awk SHOWN PRINTED
#
# ... in a line of SHOWN stands for any text, ... alone for any lines.  With vary=yes all numbers are alike, and all spaces.
# Spaces at the end of lines do not count.

function plain(line) {
    sub(/[ \t]+$/, "", line)
    if (vary == "yes") { gsub(/[0-9]+(\.[0-9]+)?/, "0", line); gsub(/  +/, " ", line); sub(/^ /, "", line) }
    return line
}
function pattern(line, parts, count, i, all) {
    count = split(line, parts, /\.\.\./)
    for (i = 1; i <= count; i++) {
        gsub(/[][\\.^$*+?(){}|\/]/, "\\\\&", parts[i])
        all = all (i > 1 ? ".*" : "") parts[i]
    }
    return "^" all "$"
}
function same(i, j, k) { # shown from i on, printed from j on
    for (;;) {
        if (i > shown) return j > printed
        if (want[i] == "...") {
            for (k = j; k <= printed + 1; k++)
                if (same(i + 1, k)) return 1
            return 0
        }
        if (j > printed || !(got[j] == want[i] || got[j] ~ pattern(want[i]))) return 0
        i++; j++
    }
}
FILENAME == ARGV[1] { want[++shown] = plain($0); next }
{ got[++printed] = plain($0) }
END { exit !same(1, 1) }
