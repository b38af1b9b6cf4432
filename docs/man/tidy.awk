# tidy.awk -- what scdoc prints, without what mandoc warns of: needless paragraphs, empty lines; with the day that pages bear.
#   awk -v day=2026-11-22 -f tidy.awk
# Letters that troff sets as others (dashes, accents) become what they are on a keyboard, so that examples can be copied.
function text(line) {
    gsub(/-/, "\\-", line)
    gsub(/~/, "\\(ti", line)
    gsub(/\^/, "\\(ha", line)
    gsub(/`/, "\\(ga", line)
    gsub(/'/, "\\(aq", line)
    return line
}
/^\.TH / {
    $2 = toupper($2)
    $4 = "\"" day "\""
    $0 = $0 "\n.nh\n.ad l" # which TH forgets
}
/^\.(nh|ad l)$/ { next }
/^\.P$/ {
    wanted = !headed
    next
}
/^$/ { next }
/^\.(SH|SS|RS|RE|TS|TH)/ { wanted = 0 }
wanted { print ".P"; wanted = 0 }
/^[.]/ || /^\\h/ { print }
!/^[.]/ && !/^\\h/ { print text($0) }
{ headed = /^\.(SH|SS|TH|RS)/; wanted = /^\.RE/ }
