# extract.awk -- the snippets of a Markdown page: each into a file of `out`, and a line about it in out/plan.
#
#   awk -v out=DIR -f extract.awk PAGE
#
# plan: number, line, language, and what the comments above it say (file, from, not, until, vary, scope), separated by tabs; - is nothing.
# N.body is the snippet; N.given what a comment gives it.  A line that begins with "finding" is a mistake on the page.

function clear() { file = from = not_run = until = "-"; vary = scope = "-"; given = "" }
function finding(text) { print "finding\t" NR "\t" text >plan }
function told(text, value) { # one comment, without its marks
    gsub(/^[ \n]+|[ \n]+$/, "", text)
    value = text
    sub(/^[a-z ]+:[ \n]*/, "", value)
    if (text ~ /^file: /) file = value
    else if (text ~ /^from: /) from = value
    else if (text ~ /^not run: /) not_run = value
    else if (text ~ /^until: /) until = value
    else if (text == "numbers vary") vary = "yes"
    else if (text == "file scope") scope = "yes"
    else if (text ~ /^given:/) given = value
}
BEGIN { plan = out "/plan"; printf "" >plan; number = 0; clear() }
fence && /^ *```$/ {
    close(out "/" number ".body")
    fence = 0; language = ""; clear(); before = ""
    next
}
fence { line = $0; sub("^" indent, "", line); print line >(out "/" number ".body"); next }
comment != "" {
    comment = comment "\n" $0
    if (/-->/) { sub(/-->.*/, "", comment); told(comment); comment = "" }
    next
}
/^ *<!-- / {
    comment = $0
    sub(/^ *<!-- /, "", comment)
    if (/-->/) { sub(/-->.*/, "", comment); told(comment); comment = "" }
    next
}
/^ *```/ {
    match($0, /^ */)
    indent = substr($0, 1, RLENGTH)
    language = substr($0, RLENGTH + 4)
    fence = 1
    number++
    if (language !~ /^(c|cpp|console|sh|ini|python|yaml|text)$/) finding("a snippet wants a language: c, cpp, console, sh, ini, python, yaml or text, not '" language "'")
    print number "\t" NR "\t" language "\t" file "\t" from "\t" not_run "\t" until "\t" vary "\t" scope >plan
    printf "" >(out "/" number ".body")
    if (given != "") { print given >(out "/" number ".given"); close(out "/" number ".given") }
    next
}
/^    / && before == "" && paragraph !~ /^ *([-*]|[0-9]+\.) / { finding("code without a fence: " $0) }
{ clear(); before = $0; if ($0 !~ /^ / && $0 != "") paragraph = $0 }
END { if (fence) finding("a fence is not closed") }
