"""What can go wrong outside the caller's own code.

    Exception
    ├── VecsmithError            the world failed: catch this to catch everything below
    │   ├── FormatError          a model or data file is broken, or is not what it claims to be
    │   ├── HubError             a model could not be found, downloaded or uploaded
    │   └── RunFailed            long work stopped before its end; what was finished is kept
    └── ImportError
        └── MissingExtraError    an optional dependency is not installed

A caller's own mistake stays a `ValueError` or a `TypeError`. Messages say what was found, what
was expected and what to do.
"""

from __future__ import annotations


class VecsmithError(Exception):
    """The world failed; the message says what was found, expected and what to do."""


class FormatError(VecsmithError):
    """A file is broken, or is not what it claims to be; the message names file and field."""


class HubError(VecsmithError):
    """A model could not be found, downloaded or uploaded."""


class RunFailed(VecsmithError):
    """Long work stopped before its end; what was finished is kept and can be resumed."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message holds the exact pip command."""
