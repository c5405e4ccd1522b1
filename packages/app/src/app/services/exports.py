"""Data sets: what was said and voted on a day, as Parquet files with a manifest.

<root>/day=2026-01-31/conversations-1f0c….parquet, votes-97ab….parquet, manifest.json

The manifest is written last: a day that has one is complete.
"""

import hashlib
import json
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fsspec

from app.services.errors import PermanentError
from app.services.files import reached
from app.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Exports:
    """Days of data below `root` of a file system."""

    files: Any
    root: str

    @reached()
    def write(self, day: date, tables: dict[str, "pa.Table"]) -> dict[str, Any]:
        """Write a day's tables and their manifest, in place of what was there; return the manifest.

        Each export names its files anew and puts its manifest last, so two exports of the same day do not mix: neither
        removes a file that a manifest of the other is about to name.
        """
        folder = self._folder(day)
        self.files.makedirs(folder, exist_ok=True)
        old = self._read_manifest(day)
        manifest = {
            "day": day.isoformat(),
            "tables": {name: self._write_table(folder, name, table) for name, table in tables.items()},
        }
        self._put(posixpath.join(folder, MANIFEST), json.dumps(manifest, indent=2).encode())
        for file in _files(old) - _files(self._read_manifest(day)):
            with suppress(FileNotFoundError):
                self.files.rm_file(posixpath.join(folder, file))
        return manifest

    @reached()
    def read(self, day: date) -> dict[str, "pa.Table"]:
        """Return a day's tables, checked against the manifest; raise PermanentError."""
        import pyarrow as pa
        from pyarrow import parquet

        tables = {}
        for name, entry in self._read_manifest(day)["tables"].items():
            data = self.files.cat_file(self.path(day, entry["file"]))
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise PermanentError(f"export of {day}: {name} is not what its manifest says: export the day again")
            tables[name] = parquet.read_table(pa.BufferReader(data))
        return tables

    def path(self, day: date, file: str) -> str:
        """Return where a day's file is."""
        return posixpath.join(self._folder(day), file)

    @reached()
    def days(self) -> list[date]:
        """Return the days that were exported, or begun."""
        if not self.files.exists(self.root):
            return []
        names = [posixpath.basename(path) for path in self.files.ls(self.root, detail=False, refresh=True)]
        return sorted(date.fromisoformat(name.removeprefix("day=")) for name in names if name.startswith("day="))

    @reached()
    def delete(self, day: date) -> None:
        """Remove a day; one that is gone already is no error."""
        try:
            self.files.rm(self._folder(day), recursive=True)
        except FileNotFoundError:
            return

    def _folder(self, day: date) -> str:
        return posixpath.join(self.root, f"day={day.isoformat()}")

    def _read_manifest(self, day: date) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.files.cat_file(self.path(day, MANIFEST)))
        except FileNotFoundError:
            return {"day": day.isoformat(), "tables": {}}
        return found

    def _write_table(self, folder: str, name: str, table: "pa.Table") -> dict[str, Any]:
        import pyarrow as pa
        from pyarrow import parquet

        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{name}-{uuid4().hex[:12]}.parquet"
        self._put(posixpath.join(folder, file), data)
        schema = {field.name: str(field.type) for field in table.schema}
        return {"file": file, "rows": table.num_rows, "schema": schema, "sha256": sha256}

    def _put(self, path: str, data: bytes) -> None:
        # Readers see the old file or the new one. Object stores do this by themselves, and cannot rename.
        if "file" not in self.files.protocol:
            self.files.pipe_file(path, data)
            return
        part = f"{path}.{uuid4().hex}.part"
        self.files.pipe_file(part, data)
        self.files.mv(part, path)


def _files(manifest: dict[str, Any]) -> set[str]:
    return {entry["file"] for entry in manifest["tables"].values()}


@cache
def exports() -> Exports:
    """Return where this process exports to."""
    return Exports(*fsspec.core.url_to_fs(settings().exports_url))
