"""Where each value of a config came from, so that an error can say file and line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from diffmd.errors import ConfigError
from diffmd.paths import join, split, within

MOST_ERRORS = 10


@dataclasses.dataclass(frozen=True)
class Source:
    """Places of a config's values.

    Attributes:
        file: the config file, as the user named it.
        marks: path -> (line, column) in the file.
        overrides: path -> the text of the ``--set`` that gave it, later ones winning.
    """

    file: str
    marks: Mapping[str, tuple[int, int]]
    overrides: Mapping[str, str]

    def place(self, path: str | None) -> str:
        """``file:line`` of a path, or of the nearest thing around it; ``--set ...`` where that gave the value."""
        keys = split(path) if path else ()
        around = [join(keys[:depth]) for depth in range(len(keys), 0, -1)]
        given = next((self.overrides[known] for known in around if known in self.overrides), None)
        # The file marks its keys, and not the items of its lists.
        in_file = any(known in self.marks for known in (around if keys and keys[-1].isdecimal() else around[:1]))
        if given is None and not in_file:
            given = next((text for below, text in self.overrides.items() if path and within(below, around[0])), None)
        if given is not None:
            return f"--set {given}"
        line = next((self.marks[known][0] for known in around if known in self.marks), None)
        return self.file if line is None else f"{self.file}:{line}"

    def locate(self, error: ConfigError) -> str:
        """``file:line: path: what is wrong; what to write instead``. Errors already located stay as they are."""
        if isinstance(error, LocatedError):
            return str(error)
        return f"{self.place(error.path)}: {error}"

    def located(self, errors: Sequence[ConfigError]) -> LocatedError:
        """One error that says all of `errors` (the first ten), each on a line of its own."""
        said = list(dict.fromkeys(self.locate(error) for error in errors))
        more = [f"... and {len(said) - MOST_ERRORS} more"] if len(said) > MOST_ERRORS else []
        return LocatedError("\n".join(said[:MOST_ERRORS] + more), tuple(errors))


class LocatedError(ConfigError):
    """A ConfigError whose message already holds file and line; `errors` are those it tells of."""

    def __init__(self, message: str, errors: tuple[ConfigError, ...]) -> None:
        super().__init__(message)
        self.errors = errors
