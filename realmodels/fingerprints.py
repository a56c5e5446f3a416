"""What the same weights were called by earlier versions, so that what was made of them then is not made again."""

from __future__ import annotations

import hashlib

from realmodels.loading import _fingerprint
from realmodels.places import Place, find

END = 1 << 20  # bytes at either end of a file that were looked at


def fingerprints(name: str, adapter: str | None = None) -> tuple[str, ...]:
    """Of a model with or without an adapter: today's, then those of earlier versions, latest first."""
    place = find(name)
    return _fingerprint(place, adapter), _of_ends(place, adapter)


def _of_ends(place: Place, adapter: str | None) -> str:
    """Of configurations in whole, of weights their size and both ends."""
    digest = hashlib.sha256()
    for part in (place, *([find(adapter, what="adapter", config="adapter_config.json")] if adapter else [])):
        for path in part.files():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(END))
                file.seek(max(0, size - END))
                digest.update(file.read())
    return digest.hexdigest()[:16]
