# refuse.awk -- what a snippet would do that must never be done where the test runs: told in a line each, and then nothing of it is run.
#
#   awk -v roots="DIR:DIR..." -v language=console|sh|python|c -f refuse.awk SNIPPET
#
# A rule against accidents on a page, not against malice: no list holds against whoever wants to get round it.
#
# 1. Nobody becomes somebody else; the system, its services, packages, users, mounts and network stay as they are.
# 2. Nobody else's process is ended: not by name, not by a number that stands on the page. $! and other variables are the page's own.
# 3. Nothing is removed, written or made outside of the roots, which are the test's own folders; no bus elsewhere is used.
# 4. Nothing is fetched from other hosts.
#
# Text between quotes is read again as a command by itself, for it may be one (sh -c, --exec). A page that means nothing of the kind
# and is refused nevertheless chooses another word.

BEGIN {
    # these are refused wherever they stand as a word
    split("sudo doas pkexec runuser systemctl loginctl journalctl poweroff reboot shutdown killall killall5 pkill apt-get aptitude dpkg" \
          " useradd userdel usermod groupadd groupdel crontab modprobe insmod rmmod swapoff iptables nft nsenter unshare chroot" \
          " docker podman kubectl ssh scp sftp wget rmtree killpg", words, " ")
    for (i in words) anywhere[words[i]] = 1
    # and these where a command stands
    split("su service halt init telinit mount umount swapon apt snap pip pip3 npm yum dnf passwd at batch rsync ip ifconfig tc sysctl" \
          " fuser skill shred wipefs fdisk parted kexec eval git mkfs dd", words, " ")
    for (i in words) command[words[i]] = 1
    split("rm rmdir mv cp ln install mkdir touch chmod chown chgrp truncate tee mkfifo cd pushd", words, " ")
    for (i in words) changes[words[i]] = 1
    split("env nohup nice ionice timeout exec command time setsid xargs stdbuf flock watch builtin ! then do else if elif while until {", words, " ")
    for (i in words) before[words[i]] = 1
    count = split(roots ":/dev/null:/dev/stdout:/dev/stderr:/dev/fd:/dev/tcp/127.0.0.1", allowed, ":")
    depth = 0
}

function refuse(why) { if (!(why in told)) { told[why] = 1; print why } }

function inside(path, i) { # of the test's own folders?
    if (path ~ /(^|\/)\.\.(\/|$)/) return 0
    if (path ~ /^\$/) return path ~ /^\$[{]?(PWD|HOME|TMPDIR)[}]?(\/|$)/
    if (path !~ /^\//) return 1
    for (i = 1; i <= count; i++)
        if (allowed[i] != "" && (path == allowed[i] || index(path, allowed[i] "/") == 1)) return 1
    return 0
}

function one_command(n, word, i, first, name, operands, doubtful) { # word[1..n]: a simple command
    first = 1
    while (first <= n) {
        if (word[first] ~ /^[A-Za-z_][A-Za-z0-9_]*=/) {
            if (word[first] ~ /^PTQ_DIR=/ && !inside(substr(word[first], 9))) refuse("a bus elsewhere: " word[first])
            first++
        } else if (word[first] in before) { # what it has itself, options and a time, is no command either
            if (word[first] ~ /^(xargs|watch)$/) doubtful = 1
            first++
            while (first <= n && word[first] ~ /^(-.*|[0-9.]+[smhd]?)$/) first++
        } else break
    }
    for (i = 1; i <= n; i++) {
        name = word[i]
        sub(/^.*\//, "", name)
        if (name in anywhere) refuse(name)
        if (word[i] ~ /^(export|declare|local|readonly)$/) continue
        if (i > 1 && word[i] ~ /^PTQ_DIR=/ && !inside(substr(word[i], 9))) refuse("a bus elsewhere: " word[i])
        if (word[i - 1] == "--dir" && !inside(word[i])) refuse("a bus elsewhere: --dir " word[i])
        if (word[i] ~ /^--dir=/ && !inside(substr(word[i], 7))) refuse("a bus elsewhere: " word[i])
    }
    if (first > n) return
    name = word[first]
    if (name !~ /^\.?\.?\/[^\/]*$/ || name ~ /^\//) sub(/^.*\//, "", name) # ./service is the page's own program
    if (name in command || name ~ /^mkfs\./) refuse(name)
    if (name in changes) {
        if (doubtful) refuse(name " of what is not known")
        for (i = first + 1; i <= n; i++)
            if (word[i] !~ /^-/ && !inside(word[i])) refuse(name " " word[i])
    }
    if (name == "find")
        for (i = first + 1; i <= n; i++) {
            if (word[i] ~ /^-(delete|exec|execdir|ok)$/) refuse("find " word[i])
            if (word[i] ~ /^-fprint/) refuse("find " word[i])
        }
    if (name == "kill") {
        i = first + 1
        if (i <= n && word[i] ~ /^-[sn]$/) i++
        if (i <= n && word[i] != "--") i += word[i] ~ /^-/ || word[i - 1] ~ /^-[sn]$/
        for (; i <= n; i++)
            if (word[i] ~ /^-?[0-9]+$/) refuse("kill " word[i])
    }
    if (name == "curl")
        for (i = first + 1; i <= n; i++)
            if (word[i] !~ /^-/ && word[i] !~ /^(https?:\/\/)?(127\.0\.0\.1|localhost|\[::1\])([:\/]|$)/ && word[i] !~ /^[A-Za-z-]+: /)
                refuse("curl " word[i])
}

# Shell as text: words, quotes, what separates commands, where output goes.
function shell(text, at, size, c, word, n, current, has, quote, piece, target, words, list) {
    depth++
    size = length(text)
    n = 0; current = ""; has = 0; target = 0
    for (at = 1; at <= size + 1; at++) {
        c = at <= size ? substr(text, at, 1) : "\n"
        if (c == "\\" && at < size) {
            at++
            if (substr(text, at, 1) != "\n") { current = current substr(text, at, 1); has = 1 }
            continue
        }
        if (c == "'" || c == "\"") {
            piece = ""
            for (at++; at <= size && (quote = substr(text, at, 1)) != c; at++) {
                if (c == "\"" && quote == "\\" && at < size) { at++; quote = substr(text, at, 1) }
                piece = piece quote
            }
            current = current piece; has = 1
            if (depth < 6 && piece ~ /[A-Za-z]/) quoted[++quoted_count] = piece
            continue
        }
        if (c == "#" && !has) {
            while (at <= size && substr(text, at, 1) != "\n") at++
            c = "\n"
        }
        if (c ~ /[ \t\n;&|()<>`]/) {
            if (c ~ /[<>]/ && has && current ~ /^[0-9]+$/) { current = ""; has = 0 } # 2>
            if (has) {
                if (target) { if (!inside(current)) refuse("> " current); target = 0 }
                else list[++n] = current
                current = ""; has = 0
            }
            if (c == ">") {
                target = 1
                if (substr(text, at + 1, 1) ~ /[>|]/) at++
                if (substr(text, at + 1, 1) == "&") { target = 0; at++; while (substr(text, at + 1, 1) ~ /[0-9-]/) at++ }
            } else if (c == "<") {
                while (substr(text, at + 1, 1) ~ /[<& \t]/) at++
                if (substr(text, at + 1, 1) != "(") { # what is read does no harm
                    while (at < size && substr(text, at + 1, 1) !~ /[ \t\n;&|)<>]/) at++
                }
            } else if (c !~ /[ \t]/) {
                if (c == "&" && substr(text, at + 1, 1) == ">") { at++; target = 1; continue }
                if (n) { words = n; n = 0; one_command(words, list) }
                target = 0
            }
            continue
        }
        current = current c
        has = 1
    }
    depth--
}

# Strings of C and of Python: each may be a command, or all of a list the words of one.
function strings(text, line, at, c, piece, n, list) {
    n = 0
    for (at = 1; at <= length(text); at++) {
        c = substr(text, at, 1)
        if (c == "\n") { if (n) one_command(n, list); n = 0; continue }
        if (c != "\"" && c != "'") continue
        piece = ""
        for (at++; at <= length(text) && substr(text, at, 1) != c; at++) {
            if (substr(text, at, 1) == "\\") at++
            piece = piece substr(text, at, 1)
        }
        list[++n] = piece
        quoted[++quoted_count] = piece
    }
    if (n) one_command(n, list)
}

{ all = all (NR > 1 ? "\n" : "") $0 }

END {
    if (language ~ /^(c|cpp|python)$/) {
        strings(all)
        if (match(all, /(^|[^a-z_])kill(pg)?\( *-?[0-9]+/)) refuse("kill of a number")
        if (match(all, /(^|[^a-z_])(reboot|setuid|mount|umount2?)\(/)) refuse(substr(all, RSTART, RLENGTH))
        if (match(all, /(^|[^a-z_])(unlink|remove|rename|rmdir|truncate|creat|rmtree)\( *"\//)) refuse("what is outside: " substr(all, RSTART, RLENGTH))
    } else
        shell(all)
    for (done = 1; done <= quoted_count; done++) { depth = done < 200 ? 1 : 6; shell(quoted[done]) }
}
