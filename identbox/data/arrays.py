"""Arrays in a file: .npz archives and .npy files, read without running what a stranger may have put in."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from identbox import files
from identbox.errors import IdentboxError, first_few

MANY_BYTES, MOST_PACKED = (
    64 * files.MIB,
    200,
)  # from so many bytes on, arrays are packed into no less than 1/200
LARGEST_ARRAYS = 4 * 2**30  # bytes of all arrays of a file together, unpacked


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Raises IdentboxError for a file that is missing or damaged, one with pickled objects, and one that is too large.
    """
    try:
        with files.open_regular(path, LARGEST_ARRAYS) as file:
            with zipfile.ZipFile(file) as archive:
                _expect_small(archive, os.fstat(file.fileno()).st_size, path)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: _array_of(archive, name, path) for name in archive.files}
    except OSError as error:
        raise IdentboxError(f"{path}: expected an .npz file, got {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise IdentboxError(f"{path}: expected an .npz file of arrays, got {error}") from error
    if not arrays:
        raise IdentboxError(f"{path}: expected arrays, got an empty file")
    return arrays


def map_array(path: Path) -> np.ndarray:
    """The array of an .npy file, mapped into memory to read it; what is not read is not loaded.

    Raises IdentboxError for a file that is missing, cut short or no regular one, and one with pickled objects.
    """
    try:
        files.open_regular(path).close()  # a pipe would keep numpy waiting
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise IdentboxError(f"{path}: expected an array, got {error.strerror or error}") from error
    except (ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError) as error:
        raise IdentboxError(f"{path}: expected an array, got {error}") from error


def _expect_small(archive: zipfile.ZipFile, packed: int, path: Path) -> None:
    """Raise IdentboxError for arrays that are too large, or so much larger than their file that nobody saved them."""
    size = sum(entry.file_size for entry in archive.infolist())
    if size > LARGEST_ARRAYS:
        raise IdentboxError(
            f"{path}: expected at most {LARGEST_ARRAYS >> 30} GiB of arrays, got {size / 2**30:.1f} GiB"
        )
    if size > MANY_BYTES and size > MOST_PACKED * packed:
        raise IdentboxError(
            f"{path}: expected arrays of at most {MOST_PACKED} times the size of their file, "
            f"got {size / 2**20:.0f} MiB in {packed} bytes"
        )


def _array_of(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> np.ndarray:
    try:
        return archive[name]
    except ValueError as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise IdentboxError(
                f"{path}: {name}: expected an array of numbers, got pickled objects, which are refused"
            ) from error
        raise


def expect_arrays(arrays: dict[str, np.ndarray], names: list[str], path: Path) -> None:
    """Raise IdentboxError unless the file has the arrays of these names."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise IdentboxError(f"{path}: expected the arrays {first_few(names)}; got {first_few(arrays)}")
