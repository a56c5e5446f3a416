"""Long sequences that stay on disk, in files without a name that are gone with the process (in TMPDIR, else /tmp).

Up to a megabyte of each stays in memory, so that short ones touch no disk.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
HELD = 1 << 20  # bytes of a sequence that stay in memory
RECENT = 256  # items that are not read again at once
BLOCK = 4096  # texts of a column that are read at once
_END = 8  # bytes that say where an item ends
PAGES = 4096  # KiB of a database that stay in memory


class Stored(Sequence[T]):
    """Items of any kind: appended, then read by position, by slice or in order; the `recent` ones are not read again at
    once. No memory beyond these."""

    def __init__(self, items: Iterable[T] = (), recent: int = RECENT) -> None:
        self._file, self._ends = _Scratch(self), _Scratch(self)
        self._ends.write(0, bytes(_END))
        self._count, self._end = 0, 0
        self._recent: Callable[[int], T] = lru_cache(maxsize=recent)(_reader(self._file, self._ends))
        for item in items:
            self.append(item)

    def append(self, item: T) -> None:
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._file.write(self._end, data)
        self._end, self._count = self._end + len(data), self._count + 1
        self._ends.write(_END * self._count, self._end.to_bytes(_END, "little"))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [self._recent(i) for i in range(*place.indices(len(self)))]
        return self._recent(_checked(place, len(self)))

    def __iter__(self) -> Iterator[T]:
        for place in range(len(self)):
            yield self._recent(place)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stored, (list(self),)


class Sparse(Mapping[int, T]):
    """Items for some of `size` positions, each put once; 12 bytes of memory for those, 4 for the others."""

    def __init__(self, size: int) -> None:
        self._items: Stored[T] = Stored()
        self._slot = np.full(size, -1, np.int32)

    def put(self, place: int, item: T) -> None:
        self._slot[place] = len(self._items)
        self._items.append(item)

    def __getitem__(self, place: int) -> T:
        if not 0 <= place < len(self._slot) or self._slot[place] < 0:
            raise KeyError(place)
        return self._items[int(self._slot[place])]

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._slot >= 0).tolist())

    def __len__(self) -> int:
        return len(self._items)


class Column(Sequence[str]):
    """ASCII texts of at most `width` letters, put in any order, "" where none was; no memory at all."""

    def __init__(self, count: int, width: int) -> None:
        self._width, self._count = width, count
        self._file = _Scratch(self)
        for start in range(0, count, BLOCK):
            self._file.write(start * width, bytes(width * min(BLOCK, count - start)))

    def put(self, place: int, text: str) -> None:
        self._file.write(place * self._width, text.encode().ljust(self._width, b"\0"))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return list(self)[place]
        return self._read(_checked(place, self._count), 1)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self._count, BLOCK):
            yield from self._read(start, min(BLOCK, self._count - start))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Column) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _read(self, start: int, count: int) -> list[str]:
        data = self._file.read(start * self._width, count * self._width)
        return [text.decode() for text in np.frombuffer(data, f"S{self._width}").tolist()]


class Matrix:
    """[rows, columns] of numbers, appended column by column and read some rows at a time; no memory at all."""

    def __init__(self, kind: str, rows: int) -> None:
        self._kind, self._rows = np.dtype(kind), rows
        self._file = _Scratch(self)
        self._fresh: list[float] = []
        self._written = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self._rows, (self._written + len(self._fresh)) // max(self._rows, 1)

    def append(self, value: float) -> None:
        self._fresh.append(value)
        if len(self._fresh) == BLOCK:
            self._write()

    def __getitem__(self, some: slice) -> NDArray[Any]:
        self._write()
        start, stop, _ = some.indices(self._rows)
        size, many = self._kind.itemsize, max(stop - start, 0)
        places = [(column * self._rows + start) * size for column in range(self.shape[1])]
        found = [np.frombuffer(self._file.read(place, many * size), self._kind) for place in places]
        return np.stack(found, axis=1) if found else np.zeros((many, 0), self._kind)

    def _write(self) -> None:
        data = np.array(self._fresh, self._kind).tobytes()
        self._file.write(self._written * self._kind.itemsize, data)
        self._written += len(self._fresh)
        self._fresh.clear()


class Chosen(Sequence[T], Generic[T]):
    """Some positions of a sequence, looked up when they are wanted."""

    def __init__(self, of: Callable[[int], T], places: NDArray[np.integer[Any]]) -> None:
        self._of, self._places = of, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: Any) -> Any:
        found = self._places[place]
        return [self._of(int(i)) for i in found] if isinstance(place, slice) else self._of(int(found))

    def __iter__(self) -> Iterator[T]:
        return (self._of(int(i)) for i in self._places)


class Database:
    """Tables on disk with a bounded part of them in memory."""

    def __init__(self, *tables: str) -> None:
        self._open = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._open.close)
        with suppress(FileNotFoundError, sqlite3.Error):
            # by itself it may choose another folder than Python does
            if not self._open.execute("PRAGMA temp_store_directory").fetchone():
                place = tempfile.gettempdir().replace("'", "''")
                self._open.execute(f"PRAGMA temp_store_directory = '{place}'")
        for text in (f"PRAGMA cache_size = -{PAGES}", "PRAGMA journal_mode = OFF", "BEGIN", *tables):
            self.do(text)

    def do(self, text: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._open.execute(text, values)
        except sqlite3.OperationalError as problem:
            raise _no_room(problem) from None

    def do_many(self, text: str, values: Iterable[Sequence[Any]]) -> None:
        try:
            self._open.executemany(text, values)
        except sqlite3.OperationalError as problem:
            raise _no_room(problem) from None


class Marks:
    """A set of texts."""

    def __init__(self) -> None:
        self._texts = Database("CREATE TABLE mark (text TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """Whether it is new."""
        return self._texts.do("INSERT OR IGNORE INTO mark VALUES (?)", (text,)).rowcount > 0


class Hashes:
    """A set of 64-bit numbers above zero, at most 24 bytes each."""

    def __init__(self) -> None:
        self._slots, self._count = array("Q", bytes(8 << 10)), 0

    def __contains__(self, number: int) -> bool:
        slots, last = self._slots, len(self._slots) - 1
        place = number & last
        while (found := slots[place]) and found != number:
            place = (place + 1) & last
        return found != 0

    def add(self, number: int) -> bool:
        """Whether it is new."""
        slots, last = self._slots, len(self._slots) - 1
        place = number & last
        while found := slots[place]:
            if found == number:
                return False
            place = (place + 1) & last
        slots[place] = number
        self._count += 1
        if 3 * self._count > 2 * len(slots):
            self._slots, self._count = array("Q", bytes(16 * len(slots))), 0
            for old in slots:
                if old:
                    self.add(old)
        return True


class _Scratch:
    """Bytes in memory up to `HELD`, else in a file without a name that is closed with its owner. Nothing in it has a
    position, so that forked processes may read it too."""

    def __init__(self, owner: object) -> None:
        self._held, self._disk = bytearray(), -1
        self._open = ExitStack()
        weakref.finalize(owner, self._open.close)

    def write(self, start: int, data: bytes) -> None:
        if self._disk < 0 and start + len(data) > HELD:
            self._spill()
        if self._disk < 0:
            self._held[start : start + len(data)] = data
        else:
            self._put(start, data)

    def read(self, start: int, length: int) -> bytes:
        if self._disk < 0:
            return bytes(self._held[start : start + length])
        return os.pread(self._disk, length, start)

    def _spill(self) -> None:
        try:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError as problem:
            raise _no_room(problem) from None
        self._disk = self._open.enter_context(file).fileno()
        self._put(0, self._held)
        self._held = bytearray()

    def _put(self, start: int, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        while len(rest):
            try:
                written = os.pwrite(self._disk, rest, start)
            except OSError as problem:
                raise _no_room(problem) from None
            start, rest = start + written, rest[written:]


def _reader(file: _Scratch, ends: _Scratch) -> Callable[[int], Any]:
    """Not bound to the sequence, so that this is gone with its last user."""

    def read(place: int) -> Any:
        both = ends.read(_END * place, 2 * _END)
        start, end = (int.from_bytes(one, "little") for one in (both[:_END], both[_END:]))
        return pickle.loads(file.read(start, end - start))

    return read


def _checked(place: int, count: int) -> int:
    if not -count <= place < count:
        raise IndexError(place)
    return int(place) % count


def _no_room(problem: Exception) -> OSError:
    """A full disk names no file, and ours have no name."""
    number = getattr(problem, "errno", None)
    said = os.strerror(number) if number else str(problem)
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        folder = os.environ.get("TMPDIR", "")
    return OSError(number or 0, f"{said} (temporary files; set TMPDIR to a folder with more room)", folder)
