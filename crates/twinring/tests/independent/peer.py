"""A host or guest of its own, written from docs/format.md alone: Python 3.9, the standard library, Linux on x86-64.

It reads orders from its standard input, a line each, and answers each with a line.

Python has no fences and no atomic operations. On x86-64 it needs none but one: aligned words of 4 and 8 bytes are
loaded and stored by one instruction each, in the order in which the interpreter gets to them, except that a store may
become visible after a later load. Locking a lock is a locked instruction, and so a full fence (`fence`).
"""

import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import stat
import struct
import sys
import threading

# ---- Names

MASK = (1 << 64) - 1
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
)
P1, P2, P4 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x85EBCA77C2B2AE63


def key_of(name):
    """XXH3-128, seed 0. Only for 17 to 128 bytes, as the names of the tests have: each range is another computation."""
    assert 17 <= len(name) <= 128, "this hash is for names of 17 to 128 bytes"

    def u64(data, at):
        return int.from_bytes(data[at : at + 8], "little")

    def mix(at, secret):
        product = (u64(name, at) ^ u64(SECRET, secret)) * (u64(name, at + 8) ^ u64(SECRET, secret + 8))
        return (product & MASK) ^ (product >> 64)

    def avalanche(x):
        x = ((x ^ (x >> 37)) * 0x165667919E3779F9) & MASK
        return x ^ (x >> 32)

    n = len(name)
    low, high = n * P1 & MASK, 0
    for step in reversed(range((n - 1) // 32 + 1)):
        a, b, secret = 16 * step, n - 16 * (step + 1), 32 * step
        low = (low + mix(a, secret) & MASK) ^ (u64(name, b) + u64(name, b + 8) & MASK)
        high = (high + mix(b, secret + 16) & MASK) ^ (u64(name, a) + u64(name, a + 8) & MASK)
    first = avalanche((low + high) & MASK)
    second = -avalanche((low * P1 + high * P4 + n * P2) & MASK) & MASK
    return "%016x%016x" % (second, first)


def check_directory(path):
    """Named by its user: others may not write there."""
    info = os.lstat(path)
    assert stat.S_ISDIR(info.st_mode) and info.st_uid in (os.geteuid(), 0), path
    assert info.st_mode & 0o022 == 0, path


def check_user(sock):
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert uid == os.geteuid(), f"the other side is user {uid}"


# ---- Handshake

KNOCK, HELLO, ACK, WELCOME, REFUSE, WAIT = 1, 2, 3, 4, 5, 6
BUSY, VERSION, PROTOCOL = 1, 2, 4
PACKET = struct.Struct("<8sIIIIQ16sQQII255s185x")
assert PACKET.size == 512


class Refused(Exception):
    """The other side refuses, or is refused."""


class Waiting(Exception):
    """Others are before this guest, so many."""


# Features.
ON_DEMAND, HANDLES_WANTED = 1, 2


def pack(kind, low=0, high=0, most=0, id=bytes(16), capacities=(0, 0), reason=0, text=b"", features=0):
    return PACKET.pack(b"twinring", kind, low, high, features, most, id, *capacities, reason, len(text), text)


def receive(sock, expected):
    """The packet of this kind that comes next, and the descriptors with it."""
    packet, fds = b"", []
    while len(packet) < PACKET.size:
        part, new, _, _ = socket.recv_fds(sock, PACKET.size - len(packet), 8)
        assert part, "it hung up during the handshake"
        packet, fds = packet + part, fds + new
    magic, kind, low, high, features, most, id, *capacities, reason, length, text = PACKET.unpack(packet)
    assert magic == b"twinring" and length <= 255
    text = text[:length].decode()
    if kind == REFUSE:
        raise Refused(f"{reason} {text}")
    if kind == WAIT and expected in (HELLO, WELCOME):
        assert reason >= 1 and packet == pack(kind, reason=reason) and not fds
        raise Waiting(reason)
    assert kind == expected, f"kind {kind} in place of {expected}"
    # Encoded again, it shows that nothing else was set.
    if kind == KNOCK:
        assert packet == pack(kind, low, high, most, id, text=text.encode(), features=features)
        assert features & ~(ON_DEMAND | HANDLES_WANTED) == 0
    else:
        assert packet == pack(kind, low, high, most, id, capacities, features=features)
        assert features == 0 or kind == HELLO and features == HANDLES_WANTED
    return (low, high, most, id, capacities, text, features & HANDLES_WANTED), fds


def knock(place, low, high, most, beyond=False):
    """Calls the host, and becomes its guest. `beyond`: the KNOCK has bytes of a later version."""
    check_directory(place.directory)
    path = os.path.join(place.directory, place.key + ".sock")
    info = os.lstat(path)
    assert stat.S_ISSOCK(info.st_mode) and info.st_uid == os.geteuid(), path
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    check_user(sock)
    wanted = HANDLES_WANTED if place.max_handles > 0 else 0
    packet = pack(KNOCK, low, high, most, text=place.name, features=wanted)
    if beyond:
        packet = packet[:20] + b"\xff" * 364 + packet[384:]
    sock.sendall(packet)
    while True:
        try:
            (version, again, peer_most, id, capacities, _, has_channel), fds = receive(sock, HELLO)
            assert version == again and low <= version <= high, f"version {version} was not offered"
            assert has_channel or not wanted
            memory, space, *channel = fds
            assert len(channel) == (1 if has_channel else 0)
            segment = map_segment(memory, capacities, id)
            set_max_handles(segment, 0, place)
            sock.sendall(pack(ACK, id=id))
            welcome, fds = receive(sock, WELCOME)
            break
        except Waiting as why:
            # Whatever HELLO brought is forgotten.
            print(f"waits {why}", flush=True)
    assert welcome[3] == id and not fds
    channel = socket.socket(fileno=channel[0]) if channel else None
    return Connection(segment, capacities, sock, socket.socket(fileno=space), channel, 1, most, peer_most, place.mode)


class Listener:
    """The host's place: the lock and the socket."""

    def __init__(self, place):
        self.place = place
        try:
            os.mkdir(place.directory, 0o700)
        except FileExistsError:
            pass
        check_directory(place.directory)
        base = os.path.join(place.directory, place.key)
        while True:
            self.lock = os.open(base + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            ours = os.fstat(self.lock)
            assert stat.S_ISREG(ours.st_mode) and ours.st_uid == os.geteuid()
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(ours, os.lstat(base + ".lock")):
                break
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.path.lexists(base + ".new"):
            os.unlink(base + ".new")
        self.socket.bind(base + ".new")
        os.chmod(base + ".new", 0o600)
        self.socket.listen(16)
        os.rename(base + ".new", base + ".sock")

    def accept(self, capacity, low, high, most, answer=None):
        """The next guest. `answer`: what to say in place of the version that both speak."""
        sock, _ = self.socket.accept()
        check_user(sock)
        (guest_low, guest_high, peer_most, _, _, name, wanted), fds = receive(sock, KNOCK)
        assert not fds and name.encode() == self.place.name
        version = min(high, guest_high)
        if version < max(low, guest_low):
            text = b"the guest speaks versions %d to %d, the host %d to %d" % (guest_low, guest_high, low, high)
            sock.sendall(pack(REFUSE, reason=VERSION, text=text))
            raise Refused(f"{VERSION} {text.decode()}")
        version = answer or version
        capacities, id = [capacity] * 2, os.urandom(16)
        memory, segment = make_segment(capacities, id)
        space, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        set_max_handles(segment, 1, self.place)
        offered, channel, features = [theirs], None, 0
        if wanted or self.place.max_handles > 0:
            channel, their_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            offered.append(their_channel)
            features = HANDLES_WANTED
        hello = pack(HELLO, version, version, most, id, capacities, features=features)
        socket.send_fds(sock, [hello], [memory] + [each.fileno() for each in offered])
        os.close(memory)
        for each in offered:
            each.close()
        ack, fds = receive(sock, ACK)
        assert ack[3] == id and not fds
        sock.sendall(pack(WELCOME, id=id))
        return Connection(segment, capacities, sock, space, channel, 0, most, peer_most, self.place.mode)

    def close(self):
        os.unlink(os.path.join(self.place.directory, self.place.key + ".sock"))
        os.close(self.lock)


# ---- Segment

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
F_SEAL_WRITES = fcntl.F_SEAL_WRITE | 0x10
CHECKPOINTS, READING = (128, 512), (896, 960)
WORDS, CAUSES, BYTES = (1024, 3072), (5120, 6656), 8192
WORD = {
    "tail": (0, ctypes.c_uint64),
    "head": (128, ctypes.c_uint64),
    "data_wait": (256, ctypes.c_uint32),
    "space_wait": (384, ctypes.c_uint32),
    "goodbye": (512, ctypes.c_uint32),
    "wake_mode": (640, ctypes.c_uint32),
    "sending": (768, ctypes.c_uint32),
    "receiving": (896, ctypes.c_uint32),
    "stopped_stream": (1024, ctypes.c_uint64),
    "max_handles": (1152, ctypes.c_uint32),
}
BY_DOORBELL, BY_WORD = 0, 1


def header_of(capacities, id):
    return struct.pack("<8sIIQQ16s", b"twinring", 1, 0, *capacities, id)


def length_of(capacities):
    for capacity in capacities:
        assert 4096 <= capacity <= 1 << 30 and capacity & (capacity - 1) == 0, capacity
    return -(-(BYTES + sum(capacities)) // 16384) * 16384


def make_segment(capacities, id):
    length = length_of(capacities)
    memory = os.memfd_create("independent", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, length)
    os.posix_fallocate(memory, 0, length)
    os.pwrite(memory, header_of(capacities, id), 0)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    return memory, mmap.mmap(memory, length)


def set_max_handles(segment, ring, place):
    at, kind = WORD["max_handles"]
    kind.from_buffer(segment, WORDS[ring] + at).value = place.max_handles


def map_segment(memory, capacities, id):
    length = length_of(capacities)
    seals, info = fcntl.fcntl(memory, fcntl.F_GET_SEALS), os.fstat(memory)
    assert seals & SEALS == SEALS and seals & F_SEAL_WRITES == 0, seals
    assert stat.S_ISREG(info.st_mode) and info.st_size == length and info.st_blocks * 512 >= length
    segment = mmap.mmap(memory, length)
    os.close(memory)
    assert segment[:48] == header_of(capacities, id)
    return segment


class Cause:
    """A place of the segment that says why: a code and a text."""

    def __init__(self, segment, side, what):
        self.segment, self.at = segment, CAUSES[side] + 512 * what

    def write(self, code, text):
        cause = cause_of(code, text)
        self.segment[self.at : self.at + len(cause)] = cause

    def read(self):
        return read_cause(self.segment[self.at : self.at + 512])


class Checkpoint:
    """What one side sets, and the other reads."""

    def __init__(self, segment, side):
        self.segment, self.at = segment, CHECKPOINTS[side]
        self.latest, self.filled_0, self.filled_1 = (
            ctypes.c_uint32.from_buffer(segment, self.at + 4 * word) for word in range(3)
        )
        self.reading = ctypes.c_uint32.from_buffer(segment, READING[side])
        self.number = 0

    def slot(self, pair, slot):
        return self.at + 16 + 160 * pair + 80 * slot

    def set(self, content):
        assert len(content) <= 64
        self.number += 1
        fence()
        pair = 1 - (self.reading.value & 1)
        filled = (self.filled_0, self.filled_1)[pair]
        slot = 1 - (filled.value & 1)
        at = self.slot(pair, slot)
        self.segment[at : at + 80] = struct.pack("<QQ64s", self.number, len(content), content)
        filled.value = slot
        self.latest.value = pair

    def read(self):
        pair = self.latest.value & 1
        self.reading.value = pair
        fence()
        at = self.slot(pair, (self.filled_0, self.filled_1)[pair].value & 1)
        number, length, content = struct.unpack("<QQ64s", self.segment[at : at + 80])
        return number, content[: min(length, 64)]


def cause_of(code, text):
    text = text.encode()
    assert len(text) <= 255
    return struct.pack("<II", code, len(text)) + text


def read_cause(cause):
    code, length = struct.unpack("<II", cause[:8])
    return f"{code} {cause[8 : 8 + min(length, 255)].decode(errors='replace')}"


class Ring:
    """One ring: its words, and its bytes. Each side counts its own position by itself."""

    def __init__(self, segment, index, capacities):
        self.segment, self.capacity = segment, capacities[index]
        self.bytes = BYTES + sum(capacities[:index])
        for name, (at, kind) in WORD.items():
            setattr(self, name, kind.from_buffer(segment, WORDS[index] + at))
        self.read, self.written, self.seen_tail, self.seen_head = 0, 0, 0, 0
        self.begun = 0

    def at(self, position):
        return self.bytes + position % self.capacity

    def until_wrap(self, position):
        return self.capacity - position % self.capacity


# ---- Frames

DATA, PADDING = 1, 2
BEGIN, END, ABORT, HANDLES = 1, 2, 4, 8
WHOLE = BEGIN | END

FILE = 1


class Broken(Exception):
    """The other side broke the protocol."""


class Over(Exception):
    """The other side takes nothing more: how that ended."""


class StreamStopped(Exception):
    """It wants no more of a large message: why."""


def demand(condition, what):
    if not condition:
        raise Broken(what)


def frame_len(length):
    return 8 + (length + 7) // 8 * 8


def header(kind, flags, length):
    return struct.pack("<Q", length | kind << 32 | flags << 40)


# ---- Waking

FUTEX_WAIT, FUTEX_WAKE, SYS_FUTEX = 0, 1, 202
libc = ctypes.CDLL(None, use_errno=True)
a_lock = threading.Lock()


def fence():
    with a_lock:
        pass


def futex(word, operation, value):
    # A shared futex: without FUTEX_PRIVATE_FLAG.
    return libc.syscall(SYS_FUTEX, ctypes.byref(word), operation, ctypes.c_uint32(value), None, None, 0)


class Connection:
    """Both rings, the doorbells, and what is known of the other side."""

    def __init__(self, segment, capacities, sock, space, channel, writes, most, peer_most, mode):
        self.out, self.into = Ring(segment, writes, capacities), Ring(segment, 1 - writes, capacities)
        self.causes, self.peer_causes = (
            {"goodbye": Cause(segment, side, 0), "stop": Cause(segment, side, 1), "stream": Cause(segment, side, 2)}
            for side in (writes, 1 - writes)
        )
        self.checkpoint, self.peer_checkpoint = Checkpoint(segment, writes), Checkpoint(segment, 1 - writes)
        self.sock, self.space, self.channel = sock, space, channel
        self.most, self.peer_most = most, peer_most
        # What has come of a large message, and how much of the ring was skipped since it was stopped.
        self.large = self.skipped = None
        # The other side is known to have ended; the tail that was looked at is the last; this side wants no more.
        self.ended = self.sealed = self.stopping = False
        self.slept = self.woke = 0
        self.mode = mode
        self.out.wake_mode.value = mode
        sock.setblocking(False)
        space.setblocking(False)
        if mode == BY_WORD:
            threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """Ends the sleep on a word when the other side hangs up."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        poll.poll()
        self.ended = True
        fence()
        for flag in (self.into.data_wait, self.out.space_wait):
            flag.value = 0
            futex(flag, FUTEX_WAKE, 1)

    def wake(self, flag, doorbell):
        """After each store of a position, or of a word that ends something."""
        fence()
        if flag.value == 0:
            return
        # Not a swap: if its owner sets it again in between, it is woken for nothing.
        flag.value = 0
        self.woke += 1
        if self.into.wake_mode.value != BY_DOORBELL:
            futex(flag, FUTEX_WAKE, 1)
        if self.into.wake_mode.value != BY_WORD:
            try:
                doorbell.send(b"\x01", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError:
                pass  # It is full, or closed.

    def wait(self, flag, doorbell, is_met):
        """Sleeps until the other side wakes us, or has ended. Looks again in any case."""
        flag.value = 1
        fence()
        if not is_met() and not self.ended:
            self.slept += 1
            if self.mode == BY_WORD:
                futex(flag, FUTEX_WAIT, 1)
            else:
                select.select([self.sock, doorbell], [], [])
        flag.value = 0
        for each in {self.sock, doorbell} if self.mode == BY_DOORBELL else ():
            try:
                self.ended |= each.recv(256, socket.MSG_DONTWAIT) == b""
            except BlockingIOError:
                pass
            except ConnectionResetError:
                self.ended = True

    # Writing

    def room(self):
        ring = self.out
        head = ring.head.value
        demand(ring.seen_head <= head <= ring.written and head % 8 == 0, f"head {head}")
        ring.seen_head = head
        return ring.capacity - (ring.written - head)

    def is_stopped(self, stream):
        """Whether the other side wants no more: of anything, or of this large message."""
        return self.out.receiving.value != 0 or stream != 0 and self.out.stopped_stream.value == stream

    def check(self, stream):
        if self.ended or self.out.receiving.value != 0:
            raise Over(self.how_sending_ended())
        if stream != 0 and self.out.stopped_stream.value == stream:
            raise StreamStopped(self.peer_causes["stream"].read())

    def put(self, flags, payload, heedless=False):
        """Writes one frame, and publishes it. `heedless`: whether or not the other side wants it."""
        ring = self.out
        stream = ring.begun if flags in (0, END) and not heedless else 0
        size = frame_len(len(payload))
        rest = ring.until_wrap(ring.written)
        padding = rest if size > rest else 0
        # And 8 bytes for an ABORT, which needs no more.
        need = padding + size + (0 if flags == ABORT else 8)
        if flags != ABORT:
            self.check(stream)
        while self.room() < need:
            if self.ended:
                raise Over(self.how_sending_ended())
            self.wait(ring.space_wait, self.space, lambda: self.room() >= need or self.is_stopped(stream))
            if flags != ABORT:
                self.check(stream)
        put = self.out.segment
        if padding:
            at = ring.at(ring.written)
            put[at : at + 8] = header(PADDING, 0, padding - 8)
        at = ring.at(ring.written + padding)
        put[at + 8 : at + size] = payload.ljust(size - 8, b"\0")
        put[at : at + 8] = header(DATA, flags, len(payload))
        ring.begun += flags == BEGIN
        ring.written += padding + size
        ring.tail.value = ring.written
        self.wake(ring.data_wait, self.sock)

    def send(self, message, chunk=None, between=None, heedless=False):
        """One message, in chunks if it is longer than `chunk`. `between`: a message after the first chunk."""
        longest = self.out.capacity // 2 - 8
        chunk = chunk or longest
        if len(message) <= chunk:
            assert len(message) <= self.peer_most, "longer than the other side receives"
            return self.put(WHOLE, message)
        for at in range(0, len(message), chunk):
            flags = (BEGIN if at == 0 else 0) | (END if at + chunk >= len(message) else 0)
            try:
                self.put(flags, message[at : at + chunk], heedless)
            except StreamStopped:
                self.put(ABORT, b"")
                raise
            if at == 0 and between is not None:
                self.put(WHOLE, between)

    def send_with_files(self, message, files):
        assert len(files) <= self.out.max_handles.value, "more than the other side takes"
        socket.send_fds(self.channel, [b"\1"], files)
        entries = struct.pack("<II16x", FILE, 0) * len(files)
        self.put(WHOLE | HANDLES, struct.pack("<Q", len(files)) + entries + message)

    def end_sending(self, how):
        self.out.sending.value = how
        self.wake(self.out.data_wait, self.sock)
        self.end_if_complete()

    # Reading

    def look_at_tail(self):
        ring = self.into
        tail = ring.tail.value
        demand(ring.seen_tail <= tail <= ring.read + ring.capacity and tail % 8 == 0, f"tail {tail}")
        ring.seen_tail = tail

    def readable(self):
        ring = self.into
        if ring.seen_tail == ring.read and not self.sealed:
            self.look_at_tail()
        return ring.seen_tail - ring.read

    def next_header(self):
        """Kind, flags and length of the frame at the head, checked."""
        ring = self.into
        at = ring.at(ring.read)
        (word,) = struct.unpack("<Q", ring.segment[at : at + 8])
        length, kind, flags = word & 0xFFFFFFFF, word >> 32 & 0xFF, word >> 40
        allowed = {(DATA, WHOLE), (DATA, WHOLE | HANDLES), (DATA, BEGIN), (DATA, END), (PADDING, 0)}
        allowed |= {(DATA, 0)} if length > 0 else set()
        allowed |= {(DATA, ABORT)} if length == 0 or 8 <= length <= 263 else set()
        demand((kind, flags) in allowed, f"header {word:x}")
        size = frame_len(length)
        demand(size <= min(self.readable(), ring.until_wrap(ring.read), ring.capacity // 2), f"length {length}")
        return kind, flags, length

    def next_frame(self):
        """The next data frame, or None if there will be none."""
        ring = self.into
        while self.readable() == 0:
            if self.sealed:
                return None
            if self.ended or self.stopping or ring.sending.value != 0:
                # Nothing more comes, or is wanted: what is there by now is all.
                self.look_at_tail()
                self.sealed = True
                continue
            self.wait(ring.data_wait, self.sock, lambda: self.readable() > 0 or ring.sending.value != 0)
        kind, flags, length = self.next_header()
        if kind == PADDING:
            demand(frame_len(length) == ring.until_wrap(ring.read), "padding to somewhere")
            demand(frame_len(length) < self.readable(), "padding alone")
            ring.read += frame_len(length)
            kind, flags, length = self.next_header()
            demand(kind == DATA, "padding twice")
        at = ring.at(ring.read) + 8
        payload = ring.segment[at : at + length]
        ring.read += frame_len(length)
        ring.head.value = ring.read
        self.wake(ring.space_wait, self.space)
        return flags, payload

    def receive(self):
        """The next message; None if there are no more; or a text about a large one."""
        while True:
            frame = self.next_frame()
            if frame is None:
                if self.stopping or self.ended:
                    self.into.receiving.value = 2
                return None
            flags, payload = frame
            told = self.take(flags, payload)
            self.end_if_complete()
            if told is not None:
                return told

    def take(self, flags, payload):
        """What a frame completes, if it does."""
        if flags == WHOLE:
            demand(len(payload) <= self.most, "a message too long")
            return payload
        if flags == WHOLE | HANDLES:
            return self.take_with_files(payload)
        begins = flags == BEGIN
        demand((self.large is None and self.skipped is None) == begins, f"flags {flags}")
        self.into.begun += begins
        if self.skipped is not None:
            self.skipped += frame_len(len(payload))
            demand(self.skipped <= 2 * self.into.capacity, "it goes on")
            if flags in (END, ABORT):
                self.skipped = None
            return None
        message, self.large = (self.large or b"") + payload, None
        if flags == ABORT:
            return f"aborted {read_cause(payload)}" if payload else "given up"
        if len(message) > self.most:
            self.large = message
            self.stop_stream(0, "too long")
            if flags == END:
                self.skipped = None
            return "too long"
        if flags == END:
            return message
        self.large = message

    def take_with_files(self, payload):
        """What a message says, and what its files hold, as one text."""
        demand(self.large is None and self.skipped is None, "handles within a large message")
        (count,) = struct.unpack_from("<Q", payload)
        demand(1 <= count <= self.into.max_handles.value and 8 + 24 * count <= len(payload), f"{count} handles")
        byte, files, _, _ = socket.recv_fds(self.channel, 1, count + 1)
        demand(byte == b"\1" and len(files) == count, f"{len(files)} of {count} handles")
        texts = []
        for i, file in enumerate(files):
            kind, detail, low, high = struct.unpack_from("<IIQQ", payload, 8 + 24 * i)
            demand((kind, detail, low, high) == (FILE, 0, 0, 0) and stat.S_ISREG(os.fstat(file).st_mode), f"kind {kind}")
            texts.append(os.pread(file, 100, 0).decode())
            os.close(file)
        return f"{payload[8 + 24 * count :].decode()} with {' '.join(texts)}"

    def stop_stream(self, code, text):
        assert self.large is not None
        self.large, self.skipped = None, 0
        self.causes["stream"].write(code, text)
        self.into.stopped_stream.value = self.into.begun
        self.wake(self.into.space_wait, self.space)

    def stop(self, code, text):
        self.causes["stop"].write(code, text)
        self.into.receiving.value = 1
        self.wake(self.into.space_wait, self.space)
        self.stopping = True

    # Ends

    def has_taken_all(self):
        return self.room() == self.out.capacity

    def how_it_left(self):
        word = self.into.goodbye.value
        demand(word in range(5), f"goodbye {word}")
        if word == 1:
            return "closed " + self.peer_causes["goodbye"].read()
        if word == 4:
            demand(self.into.sending.value != 0, "it left without a word")
            return "stopped " + self.peer_causes["stop"].read()
        return ("crashed", None, "fault", "abandoned")[word]

    def how_receiving_ended(self):
        word = self.into.sending.value
        demand(word in (0, 1, 2), f"sending {word}")
        if word != 0:
            return ("finished", "abandoned")[word - 1]
        return self.how_it_left() if self.ended else "stopped here"

    def how_sending_ended(self):
        if self.out.sending.value == 1 and self.has_taken_all():
            return "finished"
        if self.ended:
            return self.how_it_left()
        word = self.out.receiving.value
        if self.into.goodbye.value != 0:
            return self.how_it_left()
        demand(word in (1, 2), f"receiving {word}")
        return "stopped " + self.peer_causes["stop"].read()

    def end_if_complete(self):
        both = self.out.sending.value == self.into.sending.value == 1
        if both and not self.sealed:
            # The last look at the tail, before which it said that it had finished.
            self.look_at_tail()
            self.sealed = self.into.seen_tail == self.into.read
        if both and self.sealed and self.into.seen_tail == self.into.read and self.has_taken_all():
            self.end(4)

    def end(self, goodbye):
        if self.out.goodbye.value == 0:
            self.out.goodbye.value = goodbye
            self.into.receiving.value = 2
        self.ended = True
        for each in (self.sock, self.space):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


# ---- Orders


class Place:
    def __init__(self, directory, name, mode):
        self.directory, self.name, self.mode = directory, name.encode(), mode
        self.key = key_of(self.name)
        self.max_handles = 0


def pattern(length):
    return (bytes((i * 7 + length) & 0xFF for i in range(256)) * (length // 256 + 1))[:length]


class Peer:
    def __init__(self, place):
        self.place = place
        self.listener = self.connection = None

    def do(self, order, *numbers):
        return getattr(self, "do_" + order)(*(int(each) if each.isdigit() else each for each in numbers))

    def do_take_handles(self, most):
        """From the next connection on."""
        self.place.max_handles = most
        return "takes them"

    def do_send_files(self, message, *contents):
        files = []
        for content in contents:
            files.append(os.memfd_create("a file"))
            os.write(files[-1], content.encode())
        self.connection.send_with_files(message.encode(), files)
        for file in files:
            os.close(file)
        return "sent"

    def do_key(self):
        return self.place.key

    def do_guest(self, low, high, most, beyond=0):
        self.connection = knock(self.place, low, high, most, beyond)
        return "connected"

    def do_listen(self):
        self.listener = Listener(self.place)
        return "listening"

    def do_host(self, capacity, low, high, most, answer=0):
        self.connection = self.listener.accept(capacity, low, high, most, answer)
        return "connected"

    def do_send(self, length, chunk=0):
        self.connection.send(pattern(length), chunk)
        return "sent"

    def do_overtake(self, length, chunk, short):
        self.connection.send(pattern(length), chunk, pattern(short))
        return "sent"

    def do_ignore(self, chunk):
        """A message without end, whatever the other side says."""
        self.connection.send(pattern(1 << 24), chunk, heedless=True)
        return "sent"

    def do_begin(self, length):
        self.connection.put(BEGIN, pattern(length))
        return "begun"

    def do_abort(self, *cause):
        self.connection.put(ABORT, cause_of(*cause) if cause else b"")
        return "given up"

    def do_finish(self):
        self.connection.end_sending(1)
        return "finished"

    def do_abandon(self):
        """The direction alone."""
        self.connection.end_sending(2)
        return "abandoned"

    def do_stop(self, code, text):
        self.connection.stop(code, text)
        return "stopped"

    def do_stop_stream(self, code, text):
        """One of which a part has come: the first frame that comes."""
        flags, payload = self.connection.next_frame()
        assert self.connection.take(flags, payload) is None
        self.connection.stop_stream(code, text)
        return "stopped"

    def do_checkpoint(self, content):
        self.connection.checkpoint.set(content.encode())
        return "set"

    def do_peer_checkpoint(self):
        number, content = self.connection.peer_checkpoint.read()
        return f"{number} {content.decode()}"

    def do_seal(self):
        self.connection.into.receiving.value = 2
        return "sealed"

    def do_take(self, frames):
        """So many frames, whatever they complete."""
        for _ in range(frames):
            self.connection.take(*self.connection.next_frame())
        return "taken"

    def do_sent(self):
        """How the direction that it writes has ended."""
        connection = self.connection
        is_over = lambda: connection.ended or connection.out.receiving.value != 0 or connection.has_taken_all()
        while not is_over():
            connection.wait(connection.out.space_wait, connection.space, is_over)
        return connection.how_sending_ended()

    def do_say(self, word, value):
        """A word as it may not be."""
        connection = self.connection
        if word == "receiving":
            connection.into.receiving.value = value
            connection.wake(connection.into.space_wait, connection.space)
        else:
            getattr(connection.out, word).value = value
            connection.wake(connection.out.data_wait, connection.sock)
        return "said"

    def do_word(self, low, high, size=8):
        """A header as it may not be, and so many bytes published with it."""
        ring = self.connection.out
        ring.segment[ring.at(ring.written) : ring.at(ring.written) + 8] = struct.pack("<II", low, high)
        ring.written += size
        ring.tail.value = ring.written
        self.connection.wake(ring.data_wait, self.connection.sock)
        return "written"

    def do_receive(self):
        message = self.connection.receive()
        if message is None:
            return self.connection.how_receiving_ended()
        if isinstance(message, str):
            return message
        return f"{len(message)} {'good' if message == pattern(len(message)) else 'bad'}"

    def do_echo(self, count):
        for _ in range(count):
            self.connection.send(self.connection.receive())
        return "echoed"

    def do_count(self):
        return f"slept {self.connection.slept} woke {self.connection.woke}"

    def do_end(self, goodbye, *cause):
        if cause:
            self.connection.causes["goodbye"].write(*cause)
        self.connection.end(goodbye)
        return "ended"

    def do_close(self):
        self.listener.close()
        return "closed"

    def do_crash(self):
        os.kill(os.getpid(), signal.SIGKILL)


def main():
    directory, name, mode = sys.argv[1:]
    peer = Peer(Place(directory, name, {"doorbell": BY_DOORBELL, "word": BY_WORD}[mode]))
    for line in sys.stdin:
        try:
            answer = peer.do(*line.split())
        except Refused as why:
            answer = f"refused {why}"
        except Over as why:
            answer = f"over {why}"
        except StreamStopped as why:
            answer = f"stream stopped {why}"
        except Broken as why:
            peer.connection.end(2)
            answer = f"broken {why}"
        print(answer, flush=True)


main()
