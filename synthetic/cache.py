"""Arrays that take long to compute, kept in files that are named by everything that decides them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from synthetic.errors import SyntheticError
from synthetic.fingerprint import fingerprint
from theory.files import write_whole

Arrays = dict[str, NDArray[Any]]
_DIGEST = 64  # bytes of a sha256 in hexadecimal, which a file begins with


def kept(
    folder: Path | None, kind: str, key: Mapping[str, Any], code: str, make: Callable[[], Arrays]
) -> Arrays:
    """What `make` returns, from the file of an earlier call if there is one.

    The file is named by `key`, the source code that the module `code` reaches, and the versions of numpy and torch.
    Without a folder nothing is kept.
    """
    if folder is None:
        return make()
    path = folder / f"{kind}-{address(key, code)}.npz"
    if path.exists():
        return _read(path)
    arrays = make()
    _write(path, arrays)
    return arrays


def address(key: Mapping[str, Any], code: str) -> str:
    """Hash of everything that decides the content."""
    origin = {
        "key": key,
        "code": fingerprint([code]),
        "packages": {name: version(name) for name in ("numpy", "torch")},
    }
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:20]


def _write(path: Path, arrays: Arrays) -> None:
    content = io.BytesIO()
    np.savez(content, **cast("dict[str, Any]", arrays))
    body = content.getvalue()
    write_whole(path, hashlib.sha256(body).hexdigest().encode() + body)


def _read(path: Path) -> Arrays:
    content = path.read_bytes()
    body = content[_DIGEST:]
    if hashlib.sha256(body).hexdigest().encode() != content[:_DIGEST]:
        raise SyntheticError(
            f"{path}: damaged, its content is not what was written; delete it, it is made again"
        )
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise SyntheticError(f"{path}: cannot be read: {error}; delete it, it is made again") from None
