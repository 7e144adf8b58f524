"""Why a cell ended without a loss: for a reason of its own, for the world's, for one of the disk.

The one rule: only what is known to come again is the cell's; all else leaves it open, as another
try may mend it.
"""

from __future__ import annotations

import errno
from typing import Final

import torch
import torch.distributed as dist

from vecsmith.errors import RunFailed, VecsmithError
from vecsmith.training.unfit import UnfitRun

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
# A device that has failed, or processes that have lost each other: any other cell would end so too
_OF_THE_MACHINE: Final = (torch.AcceleratorError, dist.DistError)
# What torch says, in a plain RuntimeError, where a CPU's memory or a library's ran out
_OUT_OF_MEMORY: Final = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED")
# So begins the error of a device before torch had a class for it
_CUDA_ERROR: Final = "CUDA error"
_MOST_LETTERS: Final = 1000


def is_of_the_cell(error: BaseException, *, is_shared: bool = False) -> bool:
    """Whether the same would come of another try of the same cell on a machine like this.

    That is so where the loss is no number, where the method or the budget does not fit model and
    pairs, where memory runs out, and where the model itself raises. Where several processes share
    each step (`is_shared`) the last is not to be told from a process that another one has left.
    """
    if isinstance(error, RunFailed):  # a step's, told with its number by an error made from it
        return isinstance(error.__cause__, RunFailed)
    if isinstance(error, UnfitRun) or is_out_of_memory(error):
        return True
    if isinstance(error, _OF_THE_MACHINE) or str(error).startswith(_CUDA_ERROR):
        return False
    return isinstance(error, RuntimeError) and not is_shared


def is_of_all_processes(error: BaseException) -> bool:
    """Whether all processes that share a step come to `error` at the same place.

    They hold the same weights and the same vectors, but not the same memory.
    """
    return isinstance(error, (RunFailed, UnfitRun))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of some kind ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _OUT_OF_MEMORY)


def stops_all(error: BaseException) -> bool:
    """Whether no other cell could be recorded either: the disk is full, or not to be written."""
    both = (error, error.__cause__)
    return any(isinstance(each, OSError) and each.errno in _NO_ROOM for each in both)


def reason_of(error: BaseException) -> str:
    """What a record says of `error`, never empty."""
    if is_out_of_memory(error):
        lines = str(error).splitlines()
        return f"out of memory: {lines[0][:200] if lines else 'no more'}"
    return told(error)


def told(error: BaseException) -> str:
    """What `error` says, with its kind where it is not one that is written for people."""
    text = str(error)[:_MOST_LETTERS]
    if text and isinstance(error, (VecsmithError, ValueError, OSError, ImportError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
