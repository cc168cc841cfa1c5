"""Files and folders: read with bounds, written whole or not at all, and never outside the folder that is meant.

What is read may come from a stranger: only regular files are opened, none is larger than its kind may be, and a name
from within a file becomes a path by `inside` alone. What is written gets a temporary name that cannot be guessed.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from identbox import processes
from identbox.errors import IdentboxError

PART = ".part"  # suffix of a temporary name: a file that is not yet whole, or that a killed process left
LEFT_OVER = 3600  # seconds without a write after which a temporary file is that of a killed process
MIB = 1 << 20
# The most bytes that a file of each kind may have.
LARGEST_TABLE = 8 * MIB  # TOML
LARGEST_RECORD = LARGEST_IMAGE = 64 * MIB  # JSON, and lines of it
LARGEST_TEXT = 1024 * MIB  # CSV and sentences
LARGEST_INTEGER = 10**300  # in a table or a record; one of thousands of digits cannot even be printed
LONGEST_FILE_NAME = 255  # bytes of a file's name


def open_regular(path: Path | str, most: int | None = None) -> io.BufferedReader:
    """Open a regular file to read it: no pipe, no device, no folder, and none of more than ``most`` bytes.

    Raises OSError where the file is not there or cannot be read, and IdentboxError for another kind of file.
    """
    if "\0" in str(path):
        raise IdentboxError(f"{path}: expected a file, got a name with a zero byte")
    # Without O_NONBLOCK the opening of a pipe would wait for somebody to write to it.
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(number)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise IdentboxError(f"{path}: expected a regular file, got a pipe, a device or a socket")
        if most is not None and status.st_size > most:
            raise IdentboxError(
                f"{path}: expected a file of at most {most / MIB:g} MiB, got {status.st_size / MIB:.0f} MiB"
            )
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: Path | str, most: int, what: str = "a file") -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises IdentboxError where it is missing, cannot be read, is larger, or no regular file.
    """
    try:
        with open_regular(path, most) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(size + 1)  # `read` takes the room of all that it is asked for
            if len(content) > size:  # it grew, or its size was not told
                content += file.read(most + 1 - len(content))
    except OSError as error:
        raise IdentboxError(f"{path}: expected {what}, got {error.strerror or error}") from error
    if len(content) > most:
        raise IdentboxError(f"{path}: expected a file of at most {most / MIB:g} MiB, got a larger one")
    return content


def read_text(path: Path | str, most: int = LARGEST_TEXT, what: str = "a file") -> str:
    """The text of a file in UTF-8, without a byte order mark, its lines ended by a line feed.

    Raises IdentboxError as `read_bytes` does, and for a file that is not UTF-8.
    """
    try:
        text = read_bytes(path, most, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IdentboxError(f"{path}: expected UTF-8, got {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def sha256(path: Path | str, most: int | None = None) -> str:
    """The SHA-256 of a regular file, in hexadecimal. Raises IdentboxError as `read_bytes` does."""
    try:
        with open_regular(path, most) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IdentboxError(f"{path}: expected a file, got {error.strerror or error}") from error


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text. Raises IdentboxError for what is no JSON, and for texts that no file can hold."""
    try:
        value = json.loads(text, parse_int=_integer)
        mark: Any = b"\\ud" if isinstance(text, bytes) else "\\ud"
        if mark in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except (ValueError, RecursionError) as error:
        raise IdentboxError(f"{where}: expected JSON, got {error}") from error
    return value


def _integer(digits: str) -> int:
    """A whole number of JSON. Raises ValueError for one that no floating-point number comes near."""
    if len(digits) > 20 and abs(number := int(digits)) > LARGEST_INTEGER:
        raise ValueError(f"a number of {len(str(number))} digits")
    return int(digits)


def read_json(path: Path | str, what: str = "a JSON file", most: int = LARGEST_RECORD) -> Any:
    """The value in a JSON file. Raises IdentboxError as `read_text` and `parse_json` do."""
    return parse_json(read_text(path, most, what), str(path))


def expect_name(name: str, where: str) -> str:
    """A name from within a file that becomes the name of a file or a folder; returned as it is.

    Raises IdentboxError for one that would be another place (empty, ``..``, with a slash), that no file may have, or
    that a terminal would not show.
    """
    good = name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0") and name.isprintable()
    try:
        good = good and len(name.encode()) <= LONGEST_FILE_NAME - len(PART) - 50
    except UnicodeEncodeError:
        good = False
    if not good:
        raise IdentboxError(f"{where}: expected a name for a file, got {name[:LONGEST_FILE_NAME]!r}")
    return name


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that a list names, known to lie inside ``folder`` (symbolic links followed).

    Raises IdentboxError for a name that would leave the folder.
    """
    path = folder / name
    pure = PurePath(name)
    leaves = not name or "\0" in name or pure.is_absolute() or ".." in pure.parts
    leaves = leaves or any(
        len(part.encode(errors="surrogatepass")) > LONGEST_FILE_NAME for part in pure.parts
    )
    if not leaves:
        try:
            end, root = path.resolve(), folder.resolve()
            leaves = end == root or not (end.is_relative_to(root) or _is_blob_of(end, root))
        except (OSError, RuntimeError):  # a circle of links, a name that is too long
            leaves = True
    if leaves:
        raise IdentboxError(
            f"{where}: expected the name of a file inside {folder}, got {name[:LONGEST_FILE_NAME]!r}"
        )
    return path


def _is_blob_of(end: Path, root: Path) -> bool:
    """Whether a link from a folder leads to the ``blobs`` beside it, as in the cache of the Hugging Face hub."""
    blobs = end.parent
    return (
        blobs.name == "blobs"
        and blobs.parent in root.parents
        and re.fullmatch("[0-9a-f]{8,64}", end.name) is not None
    )


def create_part(path: Path) -> Path:
    """Make an empty file beside ``path`` under a name that nobody can have prepared; returns its path."""
    for old in path.parent.glob(f".{_escaped(path.name)}.*{PART}"):
        _remove_left_over(old, path.name)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}{PART}")
    os.close(
        os.open(
            part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o666
        )
    )
    return part


def _escaped(name: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", name)


def _remove_left_over(part: Path, name: str) -> None:
    """Remove a temporary file that was left by a process of this user long ago."""
    if not re.fullmatch(rf"\.{re.escape(name)}\.\d+\.[0-9a-f]{{16}}{re.escape(PART)}", part.name):
        return
    with suppress(OSError):
        status = part.lstat()
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid()
        if own and abs(time.time() - status.st_mtime) > LEFT_OVER:
            part.unlink()


@contextmanager
def whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name beside it; it gets its own name when the block has ended without an error.

    Readers see the old file or the new one, never a part of it. After an error the temporary file is removed.
    Several processes may write the same file at a time. With ``durable`` the content is on the disk before it gets its
    name, so that no loss of power leaves an empty file under it. Raises IdentboxError for a folder of that name.
    """
    part = create_part(path)
    try:
        yield part
        if durable:
            sync(part)
        try:
            part.replace(path)
        except IsADirectoryError as error:
            raise IdentboxError(f"{path}: expected a file or nothing, got a folder") from error
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk; a file system that cannot say so is left alone."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(number)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a new folder under a temporary name; it gets its own name when the block has ended without an error.

    Several processes may try the same folder: one of them makes it, and the others get the error that it is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{path.name}."
    for old in path.parent.glob(f"{_escaped(mark)}*{PART}"):
        if processes.is_left_over(old.name.removeprefix(mark)):
            _remove_own_folder(old)
    prefix = mark + processes.scratch_prefix()
    part = Path(tempfile.mkdtemp(prefix=prefix, suffix=PART, dir=path.parent))
    part.chmod(0o777 & ~_umask())
    try:
        yield part
        if path.exists():  # `rename` would replace an empty folder
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_own_folder(path: Path) -> None:
    """Remove a folder of this user; a link to one is left alone."""
    with suppress(OSError):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all."""
    with whole(path, durable=durable) as part:
        part.write_bytes(content)


def open_log(path: Path) -> BinaryIO:
    """Open a log to write at its end; a link in its place is not followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise IdentboxError(f"{path}: expected a regular file, got a pipe, a device or a socket")
    return os.fdopen(number, "ab")


def is_cut(path: Path, content: bytes) -> bool:
    """Whether a file holds only the beginning of its content, as an interrupted copy or a full disk leaves it."""
    with open_regular(path) as file:
        there = file.read(len(content) + 1)
    return len(there) < len(content) and content.startswith(there)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is missing or cut short. Raises IdentboxError where it holds something else."""
    if not path.exists() or is_cut(path, content):
        write_whole(path, content)
        return
    with open_regular(path) as file:
        if file.read(len(content) + 1) != content:
            raise IdentboxError(f"{path}: expected what this version would write, got another file")


def packaged(name: str) -> Path:
    """A folder that travels with the package: in the installed package, or beside the package in a checkout.

    There are ``render``, which Blender executes, and ``simulations``, the sweep files.
    """
    package = Path(__file__).resolve().parent
    for place in (package / f"_{name}", package.parent / name):
        if place.is_dir():
            return place
    raise IdentboxError(
        f"identbox: expected its folder {name}, got an installation without it; install it again"
    )


def cache_folder() -> Path:
    """Where converted and downloaded meshes are kept: IDENTBOX_CACHE, or the user's cache folder."""
    if own := os.environ.get("IDENTBOX_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "identbox"
    try:
        return Path.home() / ".cache" / "identbox"
    except RuntimeError:  # a user without an entry in the list of users
        return Path(tempfile.gettempdir()) / f"identbox-cache-{os.getuid()}"


@cache
def _key(folder: Path) -> bytes:
    """A secret of this user in the cache, made where there is none; for this process alone where none can be kept."""
    path = folder / "key"
    with suppress(OSError, IdentboxError):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            part = create_part(path)
            part.chmod(0o600)
            part.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(part, path)  # of several processes the first makes the key of all
            part.unlink(missing_ok=True)
        status = path.lstat()
        if status.st_uid == os.getuid() and not status.st_mode & 0o077:
            key = read_bytes(path, 32)
            if len(key) == 32:
                return key
    return secrets.token_bytes(32)


def proof(*parts: str) -> str:
    """A mark that only this user's identbox can make: it proves that a file in a cache is one that it wrote.

    >>> proof("mesh", "abc") == proof("mesh", "abc") != proof("mesh", "abd")
    True
    """
    return hmac.new(_key(cache_folder()), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def write_proved(path: Path, content: bytes, kind: str) -> None:
    """Write a file of a cache, and beside it the proof that this user's identbox wrote it."""
    write_whole(path, content)
    write_whole(path.with_suffix(".proof"), _proof_of(path, content, kind))


def read_proved(path: Path, most: int, kind: str) -> bytes | None:
    """The content of a file of a cache; None where it is missing, or not as this user's identbox wrote it."""
    try:
        content = read_bytes(path, most)
        known = read_bytes(path.with_suffix(".proof"), 1000)
    except IdentboxError:
        return None
    return content if hmac.compare_digest(known, _proof_of(path, content, kind)) else None


def _proof_of(path: Path, content: bytes, kind: str) -> bytes:
    return proof(kind, path.name, hashlib.sha256(content).hexdigest()).encode()


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for the block; those that killed processes left are removed first."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=processes.scratch_prefix(), ignore_cleanup_errors=True) as name:
        yield Path(name)


@cache
def _sweep() -> None:
    """Remove, once in a process, the temporary folders of this user whose processes are gone."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob("identbox-*"):
            if processes.is_left_over(path.name):
                _remove_own_folder(path)
