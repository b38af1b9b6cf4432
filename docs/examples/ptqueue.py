# ptqueue.py -- a queue of ptq in a Python program, by ctypes: what multiprocessing.Queue has, and leases.
#
#   from ptqueue import Queue
#   queue = Queue("tasks")                 # on the bus of $PTQ_RUN; found, or made as `ptq create tasks` would
#   queue.put(b"one")                      # when it returns the message is in the queue, whoever is killed next
#   for lease in queue:                    # until somebody says queue.end()
#       with lease as data:                # acked at the end of the block; an exception, or a kill, gives it back
#           print(data)
#
# Bytes go in and come out: pickle, json or struct make them.  Other sizes are said before: `ptq create tasks --item-size 1M --capacity 100`.
# Handles are not inherited: each process opens its own, also after fork.  It is an example and no binding: what is not here is called likewise.
import ctypes
import queue as standard

FOREVER = -1
OK, EMPTY, FULL, TIMEDOUT, END, EINTR = 0, 1, 2, 3, 4, 26
BACKOFF = -2

_ptq = ctypes.CDLL("libptq.so.0")
_void, _text = ctypes.c_void_p, ctypes.c_char_p
for _name, _result, *_arguments in (
    ("bus_open", ctypes.c_int, _text, _void, _void), ("queue_open", ctypes.c_int, _void, _text, _void, _void),
    ("put", ctypes.c_int, _void, _text, ctypes.c_size_t, ctypes.c_int), ("get", ctypes.c_int, _void, ctypes.c_int, _void),
    ("ack", ctypes.c_int, _void), ("nack", ctypes.c_int, _void, ctypes.c_int), ("end", ctypes.c_int, _void),
    ("queue_close", None, _void), ("bus_close", None, _void), ("strerror", _text, ctypes.c_int), ("msg_data", _void, _void),
    ("msg_size", ctypes.c_size_t, _void), ("msg_position", ctypes.c_uint64, _void), ("msg_deliveries", ctypes.c_uint32, _void),
    ("queue_explain", _text, _void, ctypes.c_int, ctypes.c_size_t, _text, ctypes.c_size_t),
):
    _call = getattr(_ptq, "ptq_" + _name)
    _call.restype, _call.argtypes = _result, _arguments


class Error(Exception):
    pass


class Ended(Error):
    "The producers said that nothing more will come, and all is settled."


class Lease:
    "A message that was taken and is not done yet."

    def __init__(self, msg):
        self._msg = msg
        self.data = ctypes.string_at(_ptq.ptq_msg_data(msg), _ptq.ptq_msg_size(msg))
        self.position = _ptq.ptq_msg_position(msg)
        self.deliveries = _ptq.ptq_msg_deliveries(msg)  # more than 1: it was in other hands before

    def ack(self):
        msg, self._msg = self._msg, None
        if msg:
            _must(_ptq.ptq_ack(msg))

    def nack(self, delay_ms=BACKOFF):
        msg, self._msg = self._msg, None
        if msg:
            _must(_ptq.ptq_nack(msg, delay_ms))

    def __enter__(self):
        return self.data

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.ack()
        else:
            self.nack()


class Queue:
    def __init__(self, name, run=None):
        self._bus, self._queue = _void(), _void()
        _must(_ptq.ptq_bus_open(run.encode() if run else None, None, ctypes.byref(self._bus)))
        _must(_ptq.ptq_queue_open(self._bus, name.encode(), None, ctypes.byref(self._queue)))

    def put(self, data, block=True, timeout=None):
        self._answer(lambda ms: _ptq.ptq_put(self._queue, data, len(data), ms), block, timeout, standard.Full, len(data))

    def lease(self, block=True, timeout=None):
        msg = _void()
        self._answer(lambda ms: _ptq.ptq_get(self._queue, ms, ctypes.byref(msg)), block, timeout, standard.Empty)
        return Lease(msg)

    def get(self, block=True, timeout=None):
        "As multiprocessing.Queue.get: who is killed after it takes the message along. lease() does not."
        with self.lease(block, timeout) as data:
            return data

    def end(self):
        _must(_ptq.ptq_end(self._queue))

    def close(self):
        _ptq.ptq_queue_close(self._queue)
        _ptq.ptq_bus_close(self._bus)
        self._queue, self._bus = _void(), _void()

    def __iter__(self):
        while True:
            try:
                yield self.lease()
            except Ended:
                return

    def _answer(self, call, block, timeout, late, size=0):
        ms = 0 if not block else FOREVER if timeout is None else int(timeout * 1000)
        answer = call(ms)
        while answer == EINTR:  # a handler of Python has run: what it raises is raised here
            answer = call(ms)
        if answer in (EMPTY, FULL, TIMEDOUT):
            raise late
        if answer == END:
            raise Ended
        if answer != OK:
            text = ctypes.create_string_buffer(512)
            raise Error(_ptq.ptq_queue_explain(self._queue, answer, size, text, len(text)).decode())


def _must(answer):
    if answer != OK:
        raise Error(_ptq.ptq_strerror(answer).decode())
