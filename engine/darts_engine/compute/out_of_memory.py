"""Recognises the many ways in which Python, torch and its libraries say that memory is short.

Nothing here imports torch, because importing torch may be what failed. Only a MemoryError says what
it means; the other kinds are told by their words.
"""

import errno
import re
import resource

# torch's allocators, C++, the kernel, CUDA's libraries, and the loader of a shared library. "could
# not create a primitive" is oneDNN without memory for a kernel; with "descriptor" it means that
# there is no such kernel. A thread cannot start if there is no room for its stack.
_WORDS = re.compile(
    r"DefaultCPUAllocator|not enough memory|can(?:'t|not) allocate memory|bad_alloc"
    r"|unable to allocate|out of memory|failed to map segment"
    r"|could not create a primitive(?! desc)|could not create a memory"
    r"|can't start new thread|Resource temporarily unavailable"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_CODES = (errno.ENOMEM, errno.EAGAIN)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it was raised from, means that memory is short."""
    for _ in range(10):
        if error is None:
            return False
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno in _CODES:
            return True
        if isinstance(error, RuntimeError | OSError | ImportError) and _WORDS.search(str(error)):
            return True
        error = error.__cause__
    return False


def limit_bytes() -> int | None:
    """The limit of this process's address space, as `ulimit -v` sets it; None without one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def explain() -> str:
    """What happened, in a line."""
    limit = limit_bytes()
    if limit is None:
        return "out of memory"
    return f"out of memory: ulimit -v allows this process {limit / 1e9:.1f} GB of addresses"
