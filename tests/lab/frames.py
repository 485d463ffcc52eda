"""frames - a member gone bad: whatever bytes one wants over the bus, with a key that is let in

    with BadMember(id_="n4", public=..., secret=..., to="tcp://127.0.7.1:7101", key=n1's public key) as bad:
        bad.send(b"no envelope", b"no body")

libzmq itself, through ctypes: Todoku links it, so it is there; no Python package is needed. LabError when it is not.
"""
import ctypes
import ctypes.util

from daemon import LabError

DEALER, ROUTING_ID, LINGER, SNDTIMEO, PUBLIC, SECRET, SERVER = 5, 5, 17, 28, 48, 49, 50  # zmq.h
MORE = 2


def _library():
    try:
        zmq = ctypes.CDLL("libzmq.so.5")
    except OSError as error:
        raise LabError(f"libzmq can't be loaded: {error}") from None
    zmq.zmq_ctx_new.restype = zmq.zmq_socket.restype = ctypes.c_void_p
    zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
    zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    zmq.zmq_close.argtypes = zmq.zmq_ctx_term.argtypes = [ctypes.c_void_p]
    return zmq


class BadMember:
    def __init__(self, id_, public, secret, to, key):
        self._zmq = _library()
        self._context = self._zmq.zmq_ctx_new()
        self._socket = self._zmq.zmq_socket(self._context, DEALER)
        number = ctypes.c_int(0)
        for option, milliseconds in ((LINGER, 2000), (SNDTIMEO, 5000)):
            number.value = milliseconds
            self._zmq.zmq_setsockopt(self._socket, option, ctypes.byref(number), ctypes.sizeof(number))
        for option, text in ((ROUTING_ID, id_), (PUBLIC, public), (SECRET, secret), (SERVER, key)):
            data = text.encode()
            if self._zmq.zmq_setsockopt(self._socket, option, data, len(data)):
                raise LabError(f"libzmq doesn't take option {option}: {text!r}")
        if self._zmq.zmq_connect(self._socket, to.encode()):
            raise LabError(f"libzmq can't connect to {to}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._zmq.zmq_close(self._socket)
        self._zmq.zmq_ctx_term(self._context)

    def send(self, *frames):
        """One message of these frames; whether libzmq took it."""
        taken = True
        for i, frame in enumerate(frames):
            taken = self._zmq.zmq_send(self._socket, frame, len(frame), MORE if i + 1 < len(frames) else 0) >= 0 and taken
        return taken


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """One field of protobuf: a number as varint, bytes or text with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + value.to_bytes(8, "little")
