#!/usr/bin/env python3
"""test_top_screens.py -- ptqtop in a terminal emulator: what stands on the screen, what is written to it, and what it survives.

    test_top_screens.py PTQ PTQTOP SUPERVISED [PTQBRIDGE]

A case is a function case_NAME, with a bus of its own.  Everything is waited for, with a deadline; nothing sleeps to make something true.
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

try:
    import pyte
except ImportError:
    print("skipped: no pyte (python3-pyte)")
    sys.exit(77)

PTQ, PTQTOP, SUPERVISED = map(os.path.abspath, sys.argv[1:4])
BRIDGE = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4] else None
DEADLINE = float(os.environ.get("PTQ_TEST_DEADLINE", "60"))
COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")


class Failed(Exception):
    pass


class Bus:
    """A bus in a folder of its own, and what was started on it."""

    def __init__(self, place):
        self.place = place
        self.env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CLICOLOR_FORCE", "PTQ_PEERS", "PTQ_KEYS")}
        self.env.update(PTQ_DIR=place + "/bus", PTQ_RUN="test", LC_ALL="C.UTF-8", TERM="xterm-256color", HOME=place)
        self.children = []

    def ptq(self, *args, code=0, **more):
        done = subprocess.run([PTQ, *args], env=self.env, capture_output=True, text=True, timeout=DEADLINE, **more)
        if done.returncode != code:
            raise Failed("ptq %s: %d instead of %d: %s" % (args, done.returncode, code, done.stderr))
        return done.stdout

    def once(self, *args):
        return subprocess.run((PTQTOP, "--once", *args), env=self.env, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout

    def start(self, *command, **more):
        child = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
        self.children.append(child)
        return child

    def figure(self, queue, key):
        return int(self.ptq("stats", queue, key))

    def end(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()


class Screen(pyte.Screen):
    """With what pyte lacks: a part of the screen that is rolled by lines."""

    def roll(self, how, count):
        line, column = self.cursor.y, self.cursor.x
        self.cursor.y = self.margins.top if self.margins else 0
        how(count)
        self.cursor.y, self.cursor.x = line, column

    def scroll_up(self, count=1):
        self.roll(self.delete_lines, count)

    def scroll_down(self, count=1):
        self.roll(self.insert_lines, count)


class Stream(pyte.ByteStream):
    csi = dict(pyte.ByteStream.csi, S="scroll_up", T="scroll_down")
    events = pyte.ByteStream.events | {"scroll_up", "scroll_down"}


class Top:
    """ptqtop on a terminal that we look at."""

    def __init__(self, bus, *args, columns=150, lines=24, env=None, before=None):
        self.bytes = b""
        self.screen = Screen(columns, lines)
        self.stream = Stream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(bus.place)
            if before:
                before()
            time.sleep(0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.execvpe(PTQTOP, [PTQTOP, "-d", "0.2", *args], {**bus.env, **(env or {})})
        self.code = None
        bus.children.append(self)

    # As a child that Bus.end ends.
    def poll(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        end = time.monotonic() + DEADLINE
        while self.poll() is None:
            self.read(0.05)
            if time.monotonic() > end:
                raise Failed("it does not end")
        return self.code

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            time.sleep(0.001)
            return False
        self.bytes += data
        self.stream.feed(data)
        return bool(data)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, what, gone=False):
        """Until a text, or a pattern, stands on the screen; or does not."""
        find = what.search if hasattr(what, "search") else lambda text: what in text
        end = time.monotonic() + DEADLINE
        while bool(find(self.text())) == gone:
            self.read(0.05)
            if time.monotonic() > end:
                raise Failed("waited too long for %r%s\n%s" % (what, " to go" if gone else "", self.text()))
        return self

    def settle(self):
        """Until what is being drawn is drawn: then nothing comes for a while, until the next frame."""
        while self.read(0.05):
            pass
        return self

    def type(self, keys):
        os.write(self.fd, keys.encode())
        return self

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def leave(self):
        self.type("q")
        if self.wait() != 0:
            raise Failed("it left with %d" % self.code)


def check(true, what):
    if not true:
        raise Failed(what)


def fill(bus):
    bus.ptq("create", "alpha", "--capacity", "10", "--stamps", "all")
    bus.ptq("put", "alpha", "x", "-n", "9")
    bus.ptq("get", "alpha", "-n", "4")
    bus.ptq("create", "alpha.low")
    bus.ptq("create", "beta", "--capacity", "2", "--policy", "drop-oldest")
    bus.ptq("put", "beta", "y", "-n", "2")


# -- what stands there ---------------------------------------------------------------------------------------------------


def case_a_screen_of_80_by_24(bus):
    fill(bus)
    top = Top(bus, columns=80, lines=24).until("alpha.low").until("0 drops/s").settle()
    lines = top.text().split("\n")
    check(lines[0].startswith("ptqtop  ") and "bus test" in lines[0], lines[0])
    # A word less where the memory's figure is a letter longer: 24G, 4.0G.
    check(re.match("3 queues  0 processes( alive)?, 0 dead  0 links up, 0 down  shm ", lines[1]), lines[1])
    check(lines[2].startswith("0 in/s  0 out/s  0 B/s  0 drops/s"), lines[2])
    check(lines[3] == " 1 Queues  2 Processes  3 Links  4 Pools  5 Events", lines[3])
    check(re.match(r"QUEUE +DEPTH +FILL +IN/s +OUT/s .*AGE +.*FLAGS +TREND$", lines[4]), lines[4])
    check(re.match(r"alpha +5  ███░░░  50% +0 +0 ", lines[5]), lines[5])
    check(re.match(r"beta +2  ██████ 100% .* FS ", lines[7]), lines[7])
    check(lines[23].startswith("every 0.2s  sort QUEUE"), lines[23])
    check(max(len(line) for line in lines) <= 80, "it is too wide")
    top.leave()


def case_a_screen_of_200_by_60(bus):
    fill(bus)
    top = Top(bus, columns=200, lines=60).until("alpha.low").until("0 drops/s").settle()
    heads = top.text().split("\n")[4].split()
    check(heads == "QUEUE KIND PATH DEPTH FILL READY LEASED DELAYED DEAD IN/s OUT/s B/s P50 P99 AGE PROD CONS WAIT DROP/s REDLV/s FLAGS TREND".split(), heads)
    row = next(line for line in top.text().split("\n") if line.startswith("alpha  ")).split()
    check(row[1:4] == ["queue", "shm", "5"] and re.match(r"[0-9.]+[mu]?s$", row[13]), row)  # P50 is known: all are stamped
    check(top.text().split("\n")[59].startswith("every 0.2s"), "the last line")
    top.leave()


def case_a_screen_of_40_by_8(bus):
    fill(bus)
    top = Top(bus, columns=40, lines=8).until("alpha.low").until("0 drops/s").settle()
    lines = top.text().split("\n")
    check(lines[0] == "0 in/s  0 out/s  0 drops/s", lines[0])
    check(lines[1].startswith("QUEUE      DEPTH"), lines[1])
    check([line.split()[0] for line in lines[2:5]] == ["alpha", "alpha.low", "beta"], lines)
    check(lines[7].startswith("every 0.2s"), lines[7])
    top.type("4").until("no pool is here").type("5").until("TIME").type("3").until("LINK").type("2").until("COMMAND").type("?").until("queues, processes").leave()


def case_the_first_frame_has_no_rates(bus):
    fill(bus)
    top = Top(bus, "-d", "3600").until("alpha.low").until("q quit").settle()
    check("- in/s  - out/s" in top.text(), top.text())
    row = next(line for line in top.text().split("\n") if line.startswith("alpha  "))
    check(re.search(r" 0 +- +- +- ", row), row)
    top.leave()


def case_enter_shows_waits_people_and_messages_and_takes_none(bus):
    fill(bus)
    bus.ptq("put", "alpha.low", "-n", "2", "-", input="\x1b[31mred\x07")
    bus.start(PTQ, "get", "beta", "-n", "3", "--no-ack")
    top = Top(bus, columns=200, lines=40).until("alpha.low").type("\r").until("WAITED  half").until("(4 measured)")
    top.until(re.compile("<=[0-9.]+[mu]?s █+ +100.0%  4|█+ .*%")).until("DEPTH  ").until("ATTACHED  nobody")
    top.until(re.compile(r"(  ready +0 +1  x\n.*){5}"))
    check(len(re.findall(r"  ready +0 +1  x", top.text())) == 5, top.text())
    top.type("\x1b").until("beta").type("j\r").until("\\x1b[31mred\\a")
    check(b"\x1b[31mred" not in top.bytes, "a message reached the terminal as it is")
    top.type("\x1b").until("beta").type("G\r").until("beta  (queue)").until("when full drop-oldest").leave()
    check(bus.figure("alpha", "taken") == 4 and bus.figure("alpha", "ready") == 5, "it took something")


def case_processes_are_shown_once_with_what_they_have_open(bus):
    fill(bus)
    one = bus.start(PTQ, "get", "alpha.low")
    top = Top(bus, columns=200, lines=30, ).until("get  ").type("2").until(re.compile(r"\n *%d +ptq +alive +attached +1 " % one.pid)).until("alpha.low")
    one.kill()
    top.until(re.compile(r"%d +ptq +dead|nobody is attached" % one.pid)).leave()


def case_events_tell_what_happened(bus):
    fill(bus)
    top = Top(bus, columns=150).until("alpha.low").until("0 in/s").type("5").until("nothing has happened")
    bus.ptq("put", "beta", "z", "-n", "3")
    top.until("3 dropped: oldest")
    bus.ptq("pause", "alpha")
    top.until(re.compile("alpha +paused"))
    bus.ptq("create", "gamma")
    top.until(re.compile("gamma +is there"))
    bus.ptq("rm", "gamma")
    top.until(re.compile("gamma +removed"))
    bus.ptq("put", "alpha", "x", "-n", "5")
    top.until(re.compile("alpha +is full")).leave()


def case_keys_for_columns_tree_units_baseline_search_and_save(bus):
    fill(bus)
    bus.ptq("put", "alpha.low", "x" * 3000, "-n", "500")
    top = Top(bus, columns=150).until("alpha.low")
    top.type("t").until(re.compile(r"\n  \.low ")).type("t").until(re.compile(r"\nalpha\.low "))
    top.type("c").until("[x] QUEUE").type("j ").until("[ ] KIND").type("\x1b").until("DEPTH").until("KIND", gone=True)
    top.type("z").until("told since now").until(re.compile("recoveries  since [0-9:]{8}"))
    top.type("z").until("since ever").type("/beta\r").type("\r").until("beta  (queue)").type("\x1b").until("alpha.low")
    top.type("/nosuch\r").until("no name has 'nosuch'").type("s").until("saved as ptqtop-")
    top.type("\\low\r").until("filter low").until("beta", gone=True).leave()
    saved = [name for name in os.listdir(bus.place) if name.startswith("ptqtop-")]
    with open(os.path.join(bus.place, saved[0]), encoding="utf-8") as file:
        check([queue["name"] for queue in json.load(file)["queues"]] == ["alpha", "alpha.low", "beta"], "what was saved")


# -- how it looks ------------------------------------------------------------------------------------------------------


def listens(bus, path, *args, env=None):
    with open(path + ".log", "wb") as log:
        bridge = subprocess.Popen((BRIDGE, "--listen", "ipc://" + path, *args), env=env or bus.env, stdin=subprocess.DEVNULL, stderr=log)
    bus.children.append(bridge)
    end = time.monotonic() + DEADLINE
    while b"listening" not in open(path + ".log", "rb").read():
        check(time.monotonic() < end and bridge.poll() is None, "no bridge")
        time.sleep(0.01)
    return bridge


def case_an_outbox_is_a_row_and_shares_the_link_of_its_peer(bus):
    if BRIDGE is None:
        return
    there = {**bus.env, "PTQ_DIR": bus.place + "/there"}
    home, far = bus.place + "/home.sock", "home=ipc://%s/home.sock" % bus.place
    carrier = listens(bus, home, env=there)
    listens(bus, bus.place + "/own.sock", "--peer", far)
    subprocess.run((PTQ, "create", "readings"), env=there, check=True)
    bus.ptq("put", "--peers", far, "--outbox", "readings@home", "first")
    top = Top(bus, columns=200).until(re.compile(r"> readings at \S+ +outbox")).until("1 link up, 0 down")
    check("ptq+ipc" not in top.text() and "~out" not in top.text(), "its whole address is in the way")
    top.type("3").until(re.compile(r"home +peer +up .*\n> readings at \S+ +outbox +up "))
    carrier.kill()
    carrier.wait()
    bus.ptq("put", "--peers", far, "--outbox", "readings@home", "second", "-n", "3")
    top.until("0 links up, 1 down").until(re.compile(r"> readings at \S+ +outbox +down .* 3 .*waits for its home"))
    top.type("1").until(re.compile(r"> readings at .* S?N ")).type("2").until(re.compile(r"ptqbridge +alive .*> readings at"))
    top.leave()
    row = json.loads(bus.once("-v", "links", "-o", "ndjson").split("\n")[1])
    check((row["kind"], row["up"], row["waiting"], row["why"]) == ("outbox", False, 3, "waits for its home"), row)


def case_a_lease_that_has_run_out_is_an_L(bus):
    bus.ptq("create", "late", "--lease", "1500")
    bus.ptq("put", "late", "x")
    # It waits for its command, and so does not take the message again itself.
    bus.start(PTQ, "get", "late", "--exec", "while kill -0 $PPID 2>/dev/null; do sleep 0.1; done")
    top = Top(bus).until(re.compile(r"late +queue .* 0 +1 +0 ")).until(re.compile(r"late +queue .* S?L "))
    top.type("\r").until("with overdue leases").leave()


def case_a_queue_of_another_layout_is_a_V(bus):
    fill(bus)
    with open(bus.place + "/bus/test/old~v1", "wb") as file:
        file.write(b"\0" * 4096)
    Top(bus).until(re.compile(r"old \(layout 1\) +other .* V ")).until(re.compile("alpha +queue")).leave()


def case_a_supervised_process_is_a_row(bus):
    parent = bus.start(SUPERVISED)
    top = Top(bus, columns=200).type("2").until(re.compile(r"tools_supervise +alive +supervised +0 .* crawler run for \S+ run 1, 7 lives left"))
    row = re.search(r"\n *(\d+) +tools_supervise +alive +supervised.* (\S+)  crawler", top.text())
    check(int(row.group(1)) != parent.pid and row.group(2) != "-", "which, and since when: " + row.group(0))
    top.until(re.compile(r"\n *%d +tools_supervise +alive +attached +2 .*crawler\.\w+\.in, crawler\.\w+\.out" % parent.pid)).leave()


def case_a_process_has_a_queue_open_once_by_however_many_handles(bus):
    bus.ptq("create", "work")
    pool = subprocess.Popen((PTQ, "pool", "run", "squares", "--workers", "1", "--exec", "cat"), env=bus.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    bus.children.append(pool)
    top = Top(bus, columns=200).type("2").until(re.compile(r"\n *%d +ptq +alive +attached +2 .* squares\.done, squares\.jobs\n" % pool.pid))
    pool.stdin.close()
    top.leave()


def case_who_holds_the_head_is_told_with_its_age(bus):
    pool = subprocess.Popen((PTQ, "pool", "run", "slow", "--workers", "1", "--exec", "sleep 100"), env=bus.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    bus.children.append(pool)
    pool.stdin.write(b"1\n")
    pool.stdin.flush()
    top = Top(bus, columns=250).until(re.compile(r"slow +pool .* \d+ ptq [1-9]\d*m?s\n"))
    top.type("/slow\r\r").until(re.compile(r"head held by \d+ ptq for [1-9]\d*m?s")).leave()
    frame = json.loads(bus.once("-o", "json"))
    check(frame["pools"][0]["head_ms"] > 0, frame["pools"])


def case_narrow_screens_show_what_matters(bus):
    fill(bus)
    bus.ptq("create", "a-name." + "that-is-long." * 8 + "end")
    top = Top(bus, columns=80).until("alpha.low").until("0 in/s").until(re.compile(r"\na-name\.that-i\S*…\S*long\.end  "))
    lines = top.text().split("\n")
    check(lines[1].endswith("free") and "link" in lines[1] and re.search(r"\d\d:\d\d:\d\d$", lines[0]), "header: %s" % lines[:2])
    check("FLAGS" in lines[4] and "IN/s" in lines[4], "heads: " + lines[4])
    top.type("?").until("a look at\n").until("                 its messages").type("\x1b").until("alpha.low")
    bus.start(PTQ, "get", "alpha.low")
    top.type("2").until(re.compile(r"PID +COMMAND .*DOES\n.*alpha\.low")).type("1").until("alpha.low")
    top.type("/alpha\r\r").until("when full block").settle()
    check(max(len(line) for line in top.text().split("\n")) <= 80 and "leases last as long as their holder\n" in top.text(), top.text())
    top.type("G").until("MESSAGE").until(re.compile(r"\d+  ready +0 +1  x\n")).type("\x1b").leave()


def case_wide_letters_take_two_columns_and_marks_none(bus):
    bus.ptq("create", "words")
    bus.ptq("put", "words", "日本語|e\u0301|")
    top = Top(bus).until("words").type("\r").until(re.compile("日 ?本 ?語 ?\\|(e\u0301|é)\\|")).leave()
    top = Top(bus, env={"LC_ALL": "C"}).until("words").type("\r").until("???|e?|")
    check(all(byte < 128 for byte in top.bytes), "bytes above 127")
    top.leave()


def case_many_drops_are_one_event_on_the_screen(bus):
    fill(bus)
    top = Top(bus, columns=150).until("alpha.low").type("5").until("nothing has happened")
    for i in range(3):
        bus.ptq("put", "beta", "z", "-n", "3")
        top.until(re.compile(r"%d dropped: oldest" % (3 * i + 3)))
    top.until(re.compile(r"\n[0-9:]{8}  beta +9 dropped: oldest, [2-9] times in \d")).leave()


def case_pools_are_sorted_too(bus):
    for name in ("a", "b"):
        pool = subprocess.Popen((PTQ, "pool", "run", name, "--workers", "1", "--exec", "sleep 100"), env=bus.env, stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
        bus.children.append(pool)
        pool.stdin.write(b"1\n" * (1 if name == "a" else 3))
        pool.stdin.flush()
    Top(bus, "-s", "depth").type("4").until(re.compile(r"\nb +pool +3 .*\na +pool +1 ")).type("I").until(
        re.compile(r"\na +pool .*\nb +pool ")).leave()


# -- what is written -----------------------------------------------------------------------------------------------------


def case_colours_say_what_words_say_too(bus):
    fill(bus)
    colour = Top(bus).until("alpha.low").until("0 in/s")
    check(COLOUR.search(colour.bytes), "no colour")
    colour.leave()
    plain = Top(bus, env={"NO_COLOR": "1"}).until("alpha.low").until("0 in/s").type("45321").until("0 in/s").type("\r").until("when full")
    check(not COLOUR.search(plain.bytes), "colour in spite of NO_COLOR: %r" % COLOUR.search(plain.bytes))
    plain.leave()
    check(not COLOUR.search(plain.bytes), "colour at the end in spite of NO_COLOR")


def case_ascii_is_ascii_alone(bus):
    fill(bus)
    for how in (dict(env={"LC_ALL": "C"}), dict(args=("--ascii",))):
        top = Top(bus, *how.get("args", ()), env=how.get("env")).until("###...").until("0 in/s").type("\r").until("WAITED").type("\x1b4")
        top.until("no pool is here").leave()
        check(all(byte < 128 for byte in top.bytes), "bytes above 127")
    top = Top(bus).until("███░░░").until("▁▁")
    top.leave()


# -- what it survives ----------------------------------------------------------------------------------------------------


def case_a_storm_of_sizes(bus):
    fill(bus)
    top = Top(bus, columns=80).until("alpha.low")
    for i in range(300):
        top.resize(1 + i * 37 % 210, 1 + i * 17 % 61)
        if i % 10 == 0:
            top.type("12345\r?\x1b"[i // 10 % 8])
        top.read(0)
    top.resize(100, 24)
    top.type("\x1b1").until("alpha.low").until("every 0.2s")
    check(top.poll() is None, "it has ended")
    top.leave()


def case_killed_it_leaves_nothing_behind(bus):
    fill(bus)
    before = sorted(os.listdir(bus.place + "/bus/test"))
    for _ in range(3):
        top = Top(bus, "-d", "0.1").until("alpha.low")
        top.kill()
        end = time.monotonic() + DEADLINE
        while b"\x1b[?1049l" not in top.bytes:  # its guard has left the other screen
            check(time.monotonic() < end, "the screen was not given back")
            top.read(0.05)
        check(termios.tcgetattr(top.fd)[3] & termios.ICANON, "the screen was given back before the terminal's modes")
        check(top.wait() == -signal.SIGKILL, "it was not killed")
    check(sorted(os.listdir(bus.place + "/bus/test")) == before, "files are left")
    bus.ptq("verify", "alpha")
    check(bus.figure("alpha", "endpoints") == 0 and bus.figure("alpha", "ready") == 5, "the queue is another")


def case_a_bus_that_is_removed_and_made_anew_is_followed(bus):
    fill(bus)
    top = Top(bus).until("alpha.low")
    shutil.rmtree(bus.place + "/bus/test")
    top.until("the bus was removed").until("alpha.low", gone=True)
    check(not os.path.exists(bus.place + "/bus/test"), "it was made by who only looks")
    bus.ptq("create", "anew")
    bus.ptq("put", "anew", "x", "-n", "3")
    top.until(re.compile("anew +queue .* 3 ")).type("\r").until("3 put").type("\x1b5").until("the bus was made anew").until("the bus was removed")
    shutil.rmtree(bus.place + "/bus/test")
    bus.ptq("create", "again")  # between two looks
    top.type("1").until("again").until("anew", gone=True).leave()


def case_one_letter_of_room(bus):
    fill(bus)
    top = Top(bus, columns=1, lines=1)
    for keys in "12345?c\rjG/x\r\\y\r\x1b":
        top.type(keys).read(0.02)
    top.leave()


def case_a_silent_peer_keeps_nobody_from_leaving(bus):
    with socket.socket() as silent:  # accepts, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        url = "tcp://127.0.0.1:%d" % silent.getsockname()[1]
        top = Top(bus, "--peer", url).until("q quit")
        peer = silent.accept()[0]
        top.leave()
        # Its end closes the connection; it did not wait for the answer, which never came.
        check(peer.recv(65536) != b"", "nothing was asked")
        peer.close()


def case_few_descriptors_are_enough(bus):
    fill(bus)
    for i in range(90):
        bus.ptq("create", "more%02d" % i, "--capacity", "1")
    for files in (20, 100):
        limit = ("prlimit", "--nofile=%d:%d" % (files, files))
        done = subprocess.run([*limit, PTQTOP, "--once", "-o", "json"], env=bus.env, capture_output=True, text=True, timeout=DEADLINE)
        frame = json.loads(done.stdout)
        check(frame["unreadable"] == 0 and len(frame["queues"]) == 93, "%d of %d" % (frame["unreadable"], len(frame["queues"])))


def case_many_queues_and_the_last_is_live(bus):
    for i in range(400):
        bus.ptq("create", "q%03d" % i, "--capacity", "1")
    top = Top(bus, lines=20).until("400 queues").type("G").until("q399")
    bus.ptq("put", "q399", "x")
    top.until(re.compile(r"q399 .*100%"))
    bus.ptq("put", "q005", "x")
    top.type("g").until(re.compile(r"q005 .*100%"))
    bus.ptq("rm", "q006")
    top.until("q006", gone=True).until("399 queues").leave()


def case_a_small_file_system(bus):
    inside = """mount -t tmpfs -o size=1m,mode=700 none '%s' && mkdir -m 700 '%s/bus' || exit 77
"$0" create tiny --capacity 4 && "$0" put tiny x && "$1" --once -o json""" % ((bus.place,) * 2)
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", inside, PTQ, PTQTOP], env=bus.env, capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode == 77 or "unshare" in done.stderr:
        print("   (no file system of our own: %s)" % done.stderr.strip())
        return
    check(done.returncode == 0, done.stderr)
    frame = json.loads(done.stdout)
    check(frame["queues"][0]["ready"] == 1 and frame["memory_free_bytes"] < 1 << 20, "a small file system")


def case_another_user_sees_what_he_may(bus):
    if os.getuid() != 0:
        print("   (only root can be somebody else)")
        return
    fill(bus)
    bus.ptq("create", "shown", "--mode", "0640")
    for folder in ("", "/bus", "/bus/test"):
        os.chown(bus.place + folder, 0, 65534)
        os.chmod(bus.place + folder, 0o750)
    os.chown(bus.place + "/bus/test/shown~v2", 0, 65534)
    done = subprocess.run([PTQTOP, "--once"], env=bus.env, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=DEADLINE)
    check(done.returncode == 0 and "3 cannot be read" in done.stdout and "\nshown " in done.stdout, done.stdout + done.stderr)
    os.chmod(bus.place + "/bus/test", 0o700)
    done = subprocess.run([PTQTOP, "--once"], env=bus.env, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=DEADLINE)
    check(done.returncode == 6 and "cannot open the bus" in done.stderr, "%d %s" % (done.returncode, done.stderr))


# -- writing, and other hosts ----------------------------------------------------------------------------------------------


def case_it_writes_only_if_allowed_and_asked(bus):
    fill(bus)
    top = Top(bus).until("alpha.low").type("D").until("ptqtop only reads").leave()
    top = Top(bus, "--allow-write").until("alpha.low").type("D").until("purge alpha: drop its 5 ready messages? y/N").type("n")
    top.until("y/N", gone=True)
    check(bus.figure("alpha", "ready") == 5, "it purged without a yes")
    top.type("D").until("y/N").type("y").until("alpha: 5 purged")
    check(bus.figure("alpha", "ready") == 0, "it did not purge")
    top.type("P").until("pause alpha? y/N").type("y").until("alpha: paused").until(re.compile(r"alpha .* P "))
    top.type("P").until("resume alpha? y/N").type("y").until("alpha: resumed").leave()


def case_another_host_through_its_bridge(bus):
    if BRIDGE is None:
        return
    fill(bus)
    there = Bus(bus.place + "/there")
    os.mkdir(there.place)
    url = "ipc://%s/bridge.sock" % bus.place
    bridge = listens(bus, bus.place + "/bridge.sock")
    done = subprocess.run([PTQTOP, "--peer", url, "--once", "-o", "json"], env=there.env, capture_output=True, text=True, timeout=DEADLINE)
    check(done.returncode == 0, done.stderr)
    rows = {queue["name"]: queue for queue in json.loads(done.stdout)["queues"]}
    check(rows["alpha"]["ready"] == 5 and rows["beta"]["ready"] == 2, rows)
    top = Top(there, "--peer", url, "--columns", "queue,kind,path,depth,in").until("alpha.low").until(re.compile("alpha +queue +link +5")).until("1 link up")
    bus.ptq("put", "alpha.low", "x", "-n", "7")
    top.until(re.compile("alpha.low +queue +link +7")).type("3").until(re.compile("peer +peer +up")).until(url)
    bridge.terminate()
    bridge.wait()
    top.until(re.compile("peer +peer +down")).until("0 links up, 1 down").leave()
    done = subprocess.run([PTQTOP, "--peer", url, "--once"], env=there.env, capture_output=True, text=True, timeout=DEADLINE)
    check(done.returncode == 8, "exit %d: %s" % (done.returncode, done.stderr))
    there.end()


def run(name, case):
    place = tempfile.mkdtemp(prefix="ptq-test.", dir="/dev/shm")
    bus = Bus(place)
    try:
        case(bus)
        print("ok", name, flush=True)
        return True
    except Exception as why:  # also a fault of the case itself is its failure
        print("  %s: %s\nNOT OK %s" % (type(why).__name__, why, name), flush=True)
        return False
    finally:
        bus.end()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    chosen = os.environ.get("PTQ_TEST_CASE", "")
    results = [run(name, case) for name, case in list(globals().items()) if name.startswith("case_") and chosen in name]
    sys.exit(0 if all(results) else 1)
