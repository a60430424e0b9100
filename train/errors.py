"""What the program answers to wrong input, and how it words another library's error."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input is wrong: the message says what, where and what is allowed; exit code 2."""


def nearest(name: str, names: Iterable[object]) -> str:
    """A hint at the name that was probably meant, or an empty string."""
    near = difflib.get_close_matches(name, [str(known) for known in names], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; of an error without a message the name of its class."""
    line = next(iter(str(error).splitlines()), "").rstrip(":")  # what would follow is left out
    return line or type(error).__name__
