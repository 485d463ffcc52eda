"""hang - one thread of a process stands still while the others go on, as when its disk does not answer

    with hung(pid, "node"):      # the thread of that name
        ...

A debugger's stop (ptrace(2), PTRACE_SEIZE): a signal would stop the whole process. All of it must be done by the Python thread that
began. Errors: Skip where a process may not be traced here (a container without CAP_SYS_PTRACE), LabError without such a thread.
"""
import contextlib
import ctypes
import os
from pathlib import Path

from daemon import LabError, Skip

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # of waitpid: threads too
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ask(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        why = ctypes.get_errno()
        raise Skip(f"ptrace of thread {thread}: {os.strerror(why)}")


def thread_of(pid, name):
    """The eldest: threads inherit the name of who makes them."""
    found = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name]
    if not found:
        raise LabError(f"process {pid} has no thread of the name {name}")
    return min(found)


@contextlib.contextmanager
def hung(pid, name):
    thread = thread_of(pid, name)
    ask(SEIZE, thread)
    try:
        ask(INTERRUPT, thread)
        os.waitpid(thread, WALL)
        yield thread
    finally:
        ask(DETACH, thread)
