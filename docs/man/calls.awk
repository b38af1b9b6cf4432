# calls.awk -- the public calls of headers, as scdoc: name, prototype, and the first sentence that stands above it.
#   awk -f calls.awk src/include/ptq/queue.h ...
# Letters that scdoc would take for marks.
function plain(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/[*_]/, "\\\\&", text)
    gsub(/`/, "", text)
    return text
}
function first_sentence(text,   at) {
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    # To the first full stop that ends a sentence, or a colon at the end of one.
    if (match(text, /\.( |$)/)) text = substr(text, 1, RSTART)
    return text
}
FNR == 1 {
    title = $0
    sub(/^\/\* [a-z]*\.h -- /, "", title)
    sub(/ \*\/$/, "", title)
    sub(/\.$/, "", title)
    name = FILENAME
    sub(/.*\//, "", name)
    printf "## <ptq/%s>\n\n%s.\n\n", name, plain(toupper(substr(title, 1, 1)) substr(title, 2))
    comment = ""
    inside = 0
    next
}
/^#define|^typedef|^struct|^enum [a-z_]* \{|^\};?/ { if (!inside) comment = "" }
/^\/\*\*/ { inside = 1; comment = "" }
inside {
    line = $0
    if (line ~ /\*\//) inside = 0
    sub(/[ ]*\*\/.*/, "", line)
    sub(/^\/\*\*<?/, "", line)
    sub(/^ \* ?/, "", line)
    comment = comment " " line
    next
}
/^[A-Za-z].*ptq_[a-z0-9_]*\(/ && !/^#/ && !/^static/ && !/^typedef/ {
    prototype = $0
    own = ""
    while (prototype !~ /;/ && (getline more) > 0) { sub(/^[ \t]+/, " ", more); prototype = prototype more }
    if (match(prototype, /\/\*\*<.*/)) { own = substr(prototype, RSTART + 4); sub(/[ ]*\*\/.*/, "", own); prototype = substr(prototype, 1, RSTART - 1) }
    sub(/PTQ_MUST_CHECK /, "", prototype)
    gsub(/[ \t]+/, " ", prototype)
    sub(/ $/, "", prototype)
    match(prototype, /ptq_[a-z0-9_]*\(/)
    call = substr(prototype, RSTART, RLENGTH - 1)
    printf "*%s*\n", plain(prototype)
    said = own != "" ? own : comment
    said = first_sentence(said)
    if (said !~ /\.$/) said = toupper(substr(said, 1, 1)) substr(said, 2) "."
    printf "\t%s\n\n", said == "." ? "Its structure in the header says what." : plain(said)
    next
}
/^$/ { if (!inside) comment = "" }
