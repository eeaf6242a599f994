"""A child process that may not use io_uring, as containers commonly have it: a seccomp filter answers EPERM."""

from __future__ import annotations

import ctypes
import errno
import struct

IO_URING_SETUP = 425  # the same number on every architecture
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def io_uring() -> None:
    """To be given to `subprocess` as `preexec_fn`.

    Raises:
        OSError: the kernel takes no filter.
    """
    instructions = b"".join(
        struct.pack("HBBI", *each)
        for each in (
            (_LOAD_WORD, 0, 0, 0),  # the number of the system call
            (_JUMP_EQUAL, 0, 1, IO_URING_SETUP),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
