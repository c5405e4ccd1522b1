"""Exports of the same day at the same time leave a day that can be read."""

from datetime import date
from pathlib import Path

import fsspec
import pyarrow as pa

from app.services.exports import MANIFEST, Exports

DAY = date(2026, 1, 31)


def tables(*votes: str) -> dict[str, pa.Table]:
    return {"votes": pa.table({"vote": list(votes)})}


class OvertakenExports(Exports):
    """Another export runs from its start to its end just before this one puts its manifest."""

    def _put(self, path: str, data: bytes) -> None:
        if path.endswith(MANIFEST):
            Exports(self.files, self.root).write(DAY, tables("a", "b"))
        super()._put(path, data)


def test_an_export_that_was_overtaken_can_be_read(tmp_path: Path) -> None:
    files, root = fsspec.core.url_to_fs(tmp_path.as_uri())
    Exports(files, root).write(DAY, tables("a"))

    OvertakenExports(files, root).write(DAY, tables("a"))  # the same content as before: the other export removes that

    assert Exports(files, root).read(DAY)["votes"]["vote"].to_pylist() == ["a"]


def test_an_export_removes_the_files_of_the_one_before(tmp_path: Path) -> None:
    files, root = fsspec.core.url_to_fs(tmp_path.as_uri())
    for votes in (("a",), ("a", "b"), ("a", "b")):
        Exports(files, root).write(DAY, tables(*votes))

    assert len(list((tmp_path / f"day={DAY}").iterdir())) == 2
