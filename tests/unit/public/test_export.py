"""Export: whole files, only what changed, and nothing of anybody else's."""

import json
from pathlib import Path

import pytest

from cbgateway.domain.errors import InputError
from cbgateway.public.export import MANIFEST, export

FILES = {"r/KR/index.html": b"region", "feed.atom": b"feed", "index.html": b"front"}


def test_files_are_written_once_and_removed_with_their_folders(tmp_path: Path) -> None:
    """What is gone from the site is gone from the folder; somebody else's file stays."""
    folder = tmp_path / "site"
    first = export(folder, FILES)
    (folder / "robots.txt").write_text("theirs")
    changed = {"feed.atom": b"feed 2", "index.html": b"front"}
    second = export(folder, changed)
    third = export(folder, changed)

    assert first.written == tuple(FILES)
    assert (second.written, second.removed) == (("feed.atom",), ("r/KR/index.html",))
    assert (third.written, third.removed) == ((), ())
    assert not (folder / "r").exists()
    assert (folder / "robots.txt").read_text() == "theirs"
    assert (folder / "feed.atom").read_bytes() == b"feed 2"
    assert sorted(changed) == json.loads((folder / MANIFEST).read_text())["files"]
    assert not list(folder.rglob("*.new"))


def test_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """It holds something, and no export made it."""
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(InputError, match="not empty"):
        export(tmp_path, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("{}", "not what an export writes"),
        ("[1", "not what an export writes"),
        ('{"files": ["../secret"]}', "not inside"),
        ('{"files": ["/etc/passwd"]}', "not inside"),
    ],
)
def test_listing_that_is_not_ours_is_refused(tmp_path: Path, listing: str, words: str) -> None:
    """Nothing outside the folder can be named in it."""
    (tmp_path / MANIFEST).write_text(listing)

    with pytest.raises(InputError, match=words):
        export(tmp_path, FILES)


def test_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With its name."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(InputError, match="file"):
        export(tmp_path / "file" / "site", FILES)
