"""`diffmd init`: writes a commented config to start from."""

from __future__ import annotations

from pathlib import Path

from diffmd.config.examples import example_inputs, example_text
from diffmd.errors import ConfigError
from diffmd.io.files import holds, write_new

DEFAULT = "lj_fluid"


def init(destination: Path | str, example: str | None = None, overwrite: bool = False) -> Path:
    """Writes a shipped example to `destination` (a file, or a folder to put it in) and returns the file.

    A text that ends in a slash is a folder, which need not be there.

    The files that the example reads are written beside it, under the names that it has for them.

    Raises:
        ConfigError: if there is no such example, or `overwrite` is false and one of the files is there already (an
            input may be, if it is the same).
        OutputError: if it cannot be written.
    """
    name = example or DEFAULT
    text = example_text(name)
    file = Path(destination)
    if str(destination).endswith("/") or file.is_dir():
        file /= f"{name}.yaml"
    inputs = {file.parent / named: content for named, content in example_inputs(name).items()}
    for one, content in inputs.items():
        if not overwrite and one.exists() and not holds(one, content):
            raise ConfigError(
                f"{one} is there already, and is not this example's; choose another folder, or --overwrite it"
            )
    if not write_new(file, text, overwrite=overwrite):
        raise ConfigError(f"{file} is there already; choose another name, or --overwrite it")
    for one, content in inputs.items():
        write_new(one, content, overwrite=overwrite)
    return file
