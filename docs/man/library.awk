# library.awk -- the public headers as manual pages, in the words of scdoc(5).
#   awk -v page=queue -f library.awk err.h queue.h       ptq_queue(3): what queue.h says, of each call and type
#   awk -v page=calls -f library.awk err.h HEADER.h...   for libptq(3): the calls of all headers with their first sentences
#   awk -v page=answers -f library.awk err.h             for libptq(3): what calls answer
#   awk -v page=names -f library.awk err.h HEADER.h...   "CALL PAGE" a line, to make links of
#
# It reads a header as people write them here: a first comment that says what the header is for; `/** */` above a call, a type or
# a constant, for it and for those that follow without an empty line; `/**< */` behind a field; `/* -- title -- */`; other comments at
# the margin are said where they stand.

# -- words ------------------------------------------------------------------------------------------------------------

function escaped(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/[*_]/, "\\\\&", text)
    return text
}

# Names of ours become bold, and what stands between backticks.
function marked(text,   out, word) {
    out = ""
    while (match(text, /`[^`]*`|PTQ_[A-Z0-9_]*[A-Z0-9]|ptq_[a-z0-9_]*[a-z0-9]/)) {
        word = substr(text, RSTART, RLENGTH)
        gsub(/`/, "", word)
        out = out escaped(substr(text, 1, RSTART - 1)) "*" escaped(word) "*"
        text = substr(text, RSTART + RLENGTH)
    }
    out = out escaped(text)
    if (out ~ /^[;#|`-]/ || out ~ /^[[\]]/) out = "\\" out
    return out
}

function squeezed(text) {
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    sub(/ $/, "", text)
    return text
}

function capital(text) {
    if (text ~ /^[a-z]+[,;:.]?( |$)/) text = toupper(substr(text, 1, 1)) substr(text, 2)
    return text
}

function sentence(text) {
    text = squeezed(text)
    sub(/^\.\.\. /, "", text) # it goes on with what stands above it
    text = capital(text)
    if (text != "" && text !~ /[.:]$/) text = text "."
    return text
}

function first_sentence(text) {
    text = squeezed(text)
    if (match(text, /\.( |$)/)) text = substr(text, 1, RSTART)
    return sentence(text)
}

# -- reading ------------------------------------------------------------------------------------------------------------

FNR == 1 {
    file = FILENAME
    sub(/.*\//, "", file)
    sub(/\.h$/, "", file)
    files[++file_count] = file
    inside = ""
    doc = ""
    body = ""
    shared = 0
}

function keep(kind, text) {
    items++
    item_file[items] = file
    item_kind[items] = kind
    item_text[items] = text
    item_doc[items] = doc
    item_shared[items] = shared # its doc stands above another one, too
}

# Adds a line of a comment, without what frames it; *_over: it ends here.
function comment_line(line) {
    comment_over = line ~ /\*\//
    sub(/[ ]*\*\/.*/, "", line)
    sub(/^[ ]*\/\*\*?<?/, "", line)
    sub(/^ \*( |$)/, "", line)
    return line
}

function end_comment() {
    if (inside == "intro") intro[file] = text
    else if (inside == "doc") { doc = text; shared = 0 }
    else { doc = text; shared = 0; loose = 1 }
    inside = ""
}

# Another comment is one of what stands below it, unless that is a constant, or an empty line.
inside == "" && loose && (/^$/ || /^#/ || /^\/\*/) {
    text = doc
    doc = ""
    keep("text", text)
}
{ loose = 0 }

inside != "" {
    text = text "\n" comment_line($0)
    if (comment_over) end_comment()
    next
}

body == "" && /^\/\* -+ .* -+ \*\/$/ {
    title = $0
    gsub(/^\/\* -+ | -+ \*\/$/, "", title)
    doc = ""
    keep("section", title)
    next
}

body == "" && /^\/\*/ {
    inside = FNR == 1 ? "intro" : /^\/\*\*/ ? "doc" : "text"
    text = comment_line($0)
    if (comment_over) end_comment()
    next
}

body == "" && /^#define PTQ_[A-Z0-9_]+(\([a-z, ]*\))? / && !/PTQ_MUST_CHECK/ {
    own = ""
    if (match($0, /\/\*\*< /)) { own = substr($0, RSTART + 5); $0 = substr($0, 1, RSTART - 1) }
    line = own
    over = own == "" || own ~ /\*\//
    while (!over && (getline more) > 0) { line = line " " more; over = more ~ /\*\// }
    sub(/[ ]*\*\/.*/, "", line)
    name = $2
    if ($0 ~ /^#define [A-Z_]+\(/) { match($0, /PTQ_[A-Z_]+\([a-z, ]*\)/); name = substr($0, RSTART, RLENGTH) }
    value = $0
    sub(/^#define [A-Z0-9_]+(\([a-z, ]*\))? +/, "", value)
    if (line != "") { saved = doc; doc = line }
    keep("define", name "\t" (value ~ /\\$/ ? "" : squeezed(value)))
    if (line != "") doc = saved
    while ($0 ~ /\\$/ && (getline) > 0) continue
    shared = 1
    next
}

body == "" && (/^#/ || /^extern "C"/ || /^}$/) { doc = ""; next }
body == "" && /^$/ { doc = ""; next }

# A declaration, to its end.
{
    body = body == "" ? $0 : body "\n" $0
    code = $0
    gsub(/\/\*[^*]*\*\//, "", code)
    gsub(/\/\*.*/, "", code)
    depth += gsub(/\{/, "{", code) - gsub(/\}/, "}", code)
    if (depth > 0 || code !~ /;[ ]*$/) next
    # ... and a comment behind it that goes on
    while (body ~ /\/\*\*<[^\/]*$/ && body !~ /\*\/[ ]*$/ && (getline more) > 0) body = body "\n" more
    if (body ~ /^typedef/) keep("typedef", body)
    else if (body ~ /^(struct|enum) [a-z_0-9]+( |\n)*\{/) keep("type", body)
    else if (body ~ /ptq_[a-z0-9_]*\(/) keep("call", body)
    body = ""
    shared = 1
    next
}

# -- what was read -----------------------------------------------------------------------------------------------------

function call_name(text) {
    match(text, /ptq_[a-z0-9_]*\(/)
    return substr(text, RSTART, RLENGTH - 1)
}

# The prototype alone, on one line; own_words: what stood behind it.
function prototype(text) {
    own_words = ""
    if (match(text, /\/\*\*</)) { own_words = substr(text, RSTART + 4); text = substr(text, 1, RSTART - 1) }
    sub(/[ ]*\*\/.*/, "", own_words)
    sub(/PTQ_MUST_CHECK /, "", text)
    sub(/[ \n]*__attribute__\(\([^;]*\)\)/, "", text)
    gsub(/\n/, " ", text)
    return squeezed(text)
}

function call_words(i,   words) {
    prototype(item_text[i])
    words = own_words != "" ? own_words : item_doc[i]
    gsub(/\n/, " ", words)
    return words
}

# Shell and C, at the width of a page: broken at blanks.
function print_code(line,   at, lead) {
    match(line, /^ */)
    if (length(line) > 68) while (match(substr(line, RLENGTH + 1), /   +/)) sub(/   +/, "  ", line)
    match(line, /^ */)
    lead = substr(line, 1, RLENGTH) "    "
    while (length(line) > 68) {
        for (at = 68; at > 40 && substr(line, at - 1, 2) != ", "; at--) continue
        if (at <= 40)
            for (at = 68; at > length(lead) && substr(line, at, 1) != " "; at--) continue
        if (at <= length(lead)) break
        print escaped_code(substr(line, 1, at - 1))
        line = lead substr(line, at + 1)
    }
    print escaped_code(line)
}

function escaped_code(line) { gsub(/\\/, "\\\\", line); return line }

# What is a picture or code, and not sentences that stand a little to the right?
function is_code(lines, from, to,   i) {
    for (i = from; i <= to; i++)
        if (lines[i] ~ /^    / || lines[i] ~ /;$/ || lines[i] ~ /[^ .]   /) return 1
    return 0
}

# Paragraphs, lists and code, as they stand in a comment.
function print_flow(text,   lines, count, i, j, k, least, paragraph) {
    count = split(text, lines, "\n")
    paragraph = ""
    for (i = 1; i <= count; i++) {
        if (lines[i] !~ /^  /) {
            if (lines[i] ~ /^ *$/) { print_paragraph(paragraph); paragraph = ""; continue }
            # Cases by name begin a line of their own.
            if (paragraph != "" && lines[i] ~ /^[a-z]+: / && lines[i - 1] ~ /[.]$/) { print_paragraph(paragraph); paragraph = "" }
            paragraph = paragraph " " lines[i]
            continue
        }
        print_paragraph(paragraph)
        paragraph = ""
        for (j = i; j < count && lines[j + 1] ~ /^  /; j++) continue
        if (is_code(lines, i, j)) {
            least = 99
            for (k = i; k <= j; k++) { match(lines[k], /^ */); if (RLENGTH < least) least = RLENGTH }
            print "```"
            for (; i <= j; i++) print_code(substr(lines[i], least + 1))
            print "```\n"
        } else {
            for (; i <= j; i++) {
                if (paragraph != "" && lines[i] ~ /^ *([A-Z]|ptq_)/ && lines[i - 1] ~ /[.]$/) { print_item(paragraph); paragraph = "" }
                paragraph = paragraph " " lines[i]
            }
            print_item(paragraph)
            print ""
            paragraph = ""
        }
        i = j
    }
    print_paragraph(paragraph)
}

function print_paragraph(text) {
    text = sentence(text)
    if (text != "") printf "%s\n\n", marked(text)
}

function print_item(text) {
    text = sentence(text)
    if (text != "") printf "- %s\n", marked(text)
}

function print_entry(term, words) {
    printf "*%s*\n", escaped(term)
    words = sentence(words)
    print words == "" ? "" : "\t" marked(words) "\n"
}

# Each field or word of a struct or enum, with what stands behind or above it.
function print_fields(text,   lines, count, i, field, words, above, said) {
    gsub(/\{ */, "{\n", text)
    if (text !~ /\n};/) { gsub(/, /, ",\n", text); sub(/ *};/, "\n};", text) } # an enum on one line
    count = split(text, lines, "\n")
    above = ""
    for (i = 2; i <= count && lines[i] !~ /^};/; i++) {
        if (lines[i] ~ /^ *\/\*/ && lines[i] !~ /^ *\/\*\*</) {
            above = ""
            said = lines[i] ~ /^ *\/\*\*/
            while (1) {
                words = lines[i]
                sub(/^ *(\/\*\*?|\*)? ?/, "", words)
                sub(/ *\*\/.*/, "", words)
                above = above " " words
                if (lines[i] ~ /\*\//) break
                i++
            }
            if (!said) { print marked(sentence(above)) "\n"; above = "" }
            continue
        }
        if (lines[i] ~ /^ *$/) continue
        field = lines[i]
        while (field !~ /\/\*/ && field !~ /[;,][ ]*$/ && lines[i + 1] !~ /^};/ && i < count) { i++; sub(/^ +/, " ", lines[i]); field = field lines[i] }
        words = above
        if (match(field, /\/\*\*?<?/)) {
            words = substr(field, RSTART + RLENGTH)
            field = substr(field, 1, RSTART - 1)
            while (words !~ /\*\// && i < count) { i++; sub(/^ *\*? */, " ", lines[i]); words = words lines[i] }
            sub(/ *\*\/.*/, "", words)
            above = ""
        }
        field = squeezed(field)
        sub(/[;,]$/, "", field)
        print_entry(field, words)
        if (field !~ /^(PTQ|ptq)/ || words == "") above = ""
    }
}

function print_type(i,   name) {
    name = item_text[i]
    sub(/ *\{.*/, "", name)
    sub(/\n.*/, "", name)
    printf "## %s\n\n", name
    print_flow(item_doc[i])
    print_fields(item_text[i])
}

function print_typedef(i,   text) {
    text = squeezed(item_text[i])
    gsub(/\n/, " ", text)
    own_words = ""
    if (text ~ /^typedef struct [a-z_]+ [a-z_]+;/) {
        sub(/;.*/, "", text)
        sub(/.* /, "", text)
        printf "## %s\n\n", text
    } else {
        text = squeezed(prototype(item_text[i]))
        match(text, /ptq_[a-z_]+\)/)
        printf "## %s\n\n*%s*\n\n", substr(text, RSTART, RLENGTH - 1), escaped(text)
        print_paragraph(own_words)
    }
    print_flow(item_doc[i])
}

# -- the pages ------------------------------------------------------------------------------------------------------------

# "queues and messages: put, get, ack" of "queue.h -- queues and messages: put, get, ack"; and what follows it.
function title_of(name,   title) {
    title = intro[name]
    sub(/^ *[a-z]*\.h -- /, "", title)
    rest_of_intro = match(title, /\n *(\n|$)/) ? substr(title, RSTART + RLENGTH) : ""
    if (RSTART > 0) title = substr(title, 1, RSTART - 1)
    gsub(/\n/, " ", title)
    title = squeezed(title)
    sub(/\.$/, "", title)
    return title
}

function print_name(   i, names) {
    names = "ptq_" page
    for (i = 1; i <= items; i++)
        if (item_file[i] == page && item_kind[i] == "call" && call_name(item_text[i]) != "ptq_" page)
            names = names ", " call_name(item_text[i])
    printf "# NAME\n\n%s - %s\n\n", escaped(names), escaped(title_of(page))
}

function print_synopsis(   i, text) {
    printf "# SYNOPSIS\n\n*#include <ptq/%s.h>*\n\n```\n", page
    for (i = 1; i <= items; i++)
        if (item_file[i] == page && item_kind[i] == "call") print_code(prototype(item_text[i]))
    print "```\n"
    printf "Link with *-lptq*; *pkg-config*(1) knows _ptq%s_, CMake _ptq::%s_.\n\n", page == "pb" ? "-pb" : "", page == "pb" ? "pb" : "ptq"
}

function print_call(i,   text, j) {
    text = "## " call_name(item_text[i]) "()" # a heading is taken as it is
    for (j = i + 1; j <= items && item_kind[j] == "call" && item_shared[j] && item_doc[j] == item_doc[i] && item_doc[i] != ""; j++) {
        prototype(item_text[j])
        if (own_words != "") break
        text = text ", " call_name(item_text[j]) "()"
    }
    print text "\n"
    for (; i < j; i++) printf "*%s*\n\n", escaped(prototype(item_text[i]))
    i = j - 1
    prototype(item_text[i])
    if (own_words == "" && item_doc[i] == "") print "The header says no more of it than its name and its types.\n"
    else print_flow(own_words != "" ? own_words : item_doc[i])
    return i
}

# Its first words are its heading, where they are few.
function print_text(text,   at) {
    sub(/^\n/, "", text)
    at = match(text, /[:.]( |\n|$)/)
    if (at > 0 && at < 50) {
        printf "## %s\n\n", capital(substr(text, 1, at - 1))
        if (substr(text, at, 1) == "." || text ~ /^[^:]*: ?\n/) text = substr(text, at + 1)
    } else print "## Notes\n"
    print_flow(text)
}

function print_items(   i, kind, before, parts) {
    before = ""
    print "# TYPES AND CALLS\n"
    for (i = 1; i <= items; i++) {
        if (item_file[i] != page) continue
        kind = item_kind[i]
        if (kind == "section") printf "# %s\n\n", toupper(item_text[i])
        else if (kind == "text") print_text(item_text[i])
        else if (kind == "type") print_type(i)
        else if (kind == "typedef") print_typedef(i)
        else if (kind == "call") i = print_call(i)
        else if (kind == "define") {
            if (before != "define" && before != "text") print "## Constants\n" # of a text they are the list
            split(item_text[i], parts, "\t")
            print_entry(parts[1] (parts[2] != "" && length(parts[2]) < 60 ? " " parts[2] : ""), item_shared[i] && item_doc[i] == item_doc[i - 1] ? "" : item_doc[i])
        }
        before = kind
    }
}

# Which answers this header speaks of, and what each means.
function print_answers(   i, answer, all) {
    all = intro[page]
    for (i = 1; i <= items; i++)
        if (item_file[i] == page) all = all " " item_doc[i] " " item_text[i]
    print "# RETURN VALUE\n"
    print "What can fail returns an _enum ptq_err_; *libptq*(3) has the rules for all calls, and all answers. Of these are spoken here:\n"
    for (i = 1; i <= answer_count; i++)
        if (answers[i] != "PTQ_OK" && all ~ (answers[i] "[^A-Z_]")) printf "*%s*\n\t%s\n\n", escaped(answers[i]), marked(sentence(meanings[i]))
}

function read_answers(   i, lines, count, j, name, words) {
    for (i = 1; i <= items; i++) {
        if (item_text[i] !~ /^enum ptq_err /) continue
        count = split(item_text[i], lines, "\n")
        for (j = 1; j <= count; j++) {
            if (!match(lines[j], /PTQ_[A-Z]+ = [0-9]+/)) continue
            answers[++answer_count] = substr(lines[j], RSTART, RLENGTH)
            numbers[answer_count] = answers[answer_count]
            sub(/ =.*/, "", answers[answer_count])
            sub(/.*= /, "", numbers[answer_count])
            words = lines[j]
            if (!sub(/.*\/\*\*< /, "", words)) words = "it is done"
            sub(/ \*\/.*/, "", words)
            meanings[answer_count] = words
        }
    }
}

function print_page(   i) {
    printf "ptq_%s(3) \"ptq @VERSION@\" \"Library\"\n\n", page
    print_name()
    print_synopsis()
    if (rest_of_intro != "") { print "# DESCRIPTION\n"; print_flow(rest_of_intro) }
    print_items()
    if (page != "err" && page != "version") print_answers()
    print "# SEE ALSO\n\n*libptq*(3)" (page != "queue" ? ", *ptq_queue*(3)" : "") ", *ptq*(7)"
}

function print_calls(   i, name, said) {
    for (i = 1; i <= items; i++) {
        if (item_kind[i] != "call") continue
        if (item_file[i] != name) {
            name = item_file[i]
            printf "## <ptq/%s.h>\n\n%s. See *ptq_%s*(3).\n\n", name, capital(escaped(title_of(name))), name
        }
        said = first_sentence(call_words(i))
        print_entry(call_name(item_text[i]) "()", said != "" ? said : "As its name and its types say.")
    }
}

END {
    read_answers()
    if (page == "calls") print_calls()
    else if (page == "names") {
        for (i = 1; i <= items; i++)
            if (item_kind[i] == "call") print call_name(item_text[i]), "ptq_" item_file[i]
    } else if (page == "answers") {
        for (i = 1; i <= answer_count; i++)
            printf "*%s* (%s)\n\t%s\n\n", escaped(answers[i]), numbers[i], marked(sentence(meanings[i]))
    } else print_page()
}
