# answers.awk -- the answers of err.h, as scdoc: name, number, meaning.
/^    PTQ_[A-Z]* = [0-9]+,?/ {
    match($0, /PTQ_[A-Z]+/)
    name = substr($0, RSTART, RLENGTH)
    match($0, /= [0-9]+/)
    number = substr($0, RSTART + 2, RLENGTH - 2)
    said = $0
    sub(/.*\/\*\*< /, "", said)
    sub(/ \*\/.*/, "", said)
    if (name == "PTQ_OK") said = "it is done"
    printf "*%s* (%s)\n\t%s.\n\n", name, number, toupper(substr(said, 1, 1)) substr(said, 2)
}
