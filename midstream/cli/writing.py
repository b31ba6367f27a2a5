"""Files that are there whole or not at all: written beside their place, then given their name."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from midstream.errors import ConfigError


@contextmanager
def replacing(file: Path) -> Generator[Path, None, None]:
    """Give a path beside a file; what is written there takes the file's name at the end, if nothing goes wrong.

    Raises:
        ConfigError: It cannot be written.
    """
    file = file.resolve()  # a link stays one
    if not file.parent.is_dir():
        raise ConfigError(
            f"cannot write {str(file)!r}: there is no such directory; make it, or choose another file"
        )
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        if file.exists() and not file.is_file():  # a pipe or a device has nothing to be replaced
            yield file
            return
        yield beside
        _to_disk(beside)
        beside.replace(file)
    except OSError as error:
        raise ConfigError(
            f"cannot write {str(file)!r}: {error.strerror}; choose another file"
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(out: str, pieces: Iterable[bytes]) -> None:
    """Write pieces to a file, whole or not at all, or to stdout, where none is named or `-`.

    Raises:
        ConfigError: The file cannot be written.
    """
    if out in ("", "-"):
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with replacing(Path(out)) as beside, beside.open("wb") as file:
        file.writelines(pieces)
