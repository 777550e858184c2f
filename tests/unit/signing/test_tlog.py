"""The transparency log by itself: hashes, tiles, bundles and signed notes."""

import base64

import pytest

from cbgateway.domain.errors import AuditError
from cbgateway.signing import tlog
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.tlog import Checkpoint

KEY = SigningKey.generate()
ORIGIN = "cbgateway/test/0/0"
ROOT = "A" * 43 + "="  # 32 octets
ENTRIES = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243")]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
}
"""The first entries and roots of the test vectors that certificate transparency logs share."""


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    """Worked out at once, and from the subtrees that are kept."""
    nodes: dict[tuple[int, int], bytes] = {}
    for at, entry in enumerate(ENTRIES):
        leaf = tlog.leaf_hash(entry)
        for level, index, value in tlog.new_nodes(at, leaf, lambda a, b: nodes[a, b]):
            nodes[level, index] = value

    assert tlog.root_of(ENTRIES[:size]).hex() == ROOTS[size]
    assert tlog.root_hash(size, lambda a, b: nodes[a, b]).hex() == ROOTS[size]


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
        (1_234_067, 8, "tile/0/x001/x234/067.p/8"),
    ],
)
def test_tiles_have_the_specified_paths(index: int, width: int, path: str) -> None:
    """Three digits a folder; the example is the specification's (C2SP tlog-tiles)."""
    assert tlog.tile_path(0, index, width) == path


def test_tiles_of_a_tree() -> None:
    """Full ones and one in part at every level."""
    assert list(tlog.tiles(0)) == []
    assert list(tlog.tiles(255)) == [(0, 0, 255)]
    assert list(tlog.tiles(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tlog.tiles(70_000))[-3:] == [(1, 0, 256), (1, 1, 17), (2, 0, 1)]


def test_bundle_is_read_back() -> None:
    """Any entries, even empty ones and the longest."""
    entries = [b"", b"a", b"x" * tlog.ENTRY_OCTETS_MAX]

    assert tlog.unbundle(tlog.bundle(entries)) == entries
    assert tlog.unbundle(b"") == []


@pytest.mark.parametrize("cut", [1, 2, 4, 6, 7])
def test_bundle_that_is_cut_is_refused(cut: int) -> None:
    """Inside a length or an entry."""
    octets = tlog.bundle([b"abc", b"defg"])

    with pytest.raises(AuditError, match="cut at octet"):
        tlog.unbundle(octets[:cut])


def test_signed_note_is_opened() -> None:
    """Beside the signatures of others."""
    one = Checkpoint(ORIGIN, 7, bytes(32))
    head, _, tail = tlog.sign_checkpoint(one, KEY).partition("\n\n")
    other = f"— somebody.example {base64.b64encode(bytes(68)).decode()}\n"
    torn = f"— {ORIGIN} nonsense!\n"

    note = f"{head}\n\n{other}{torn}{tail}"
    assert tlog.open_checkpoint(note, origin=ORIGIN, public_key=KEY.public_key) == one


def signed_by(key: SigningKey, origin: str = ORIGIN) -> str:
    """Give a note."""
    return tlog.sign_checkpoint(Checkpoint(origin, 7, bytes(32)), key)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("", "not a checkpoint"),
        (f"{ORIGIN}\nseven\nAAAA\n\n", "not a checkpoint"),
        (f"{ORIGIN}\n7\n%%%%\n\n", "not a checkpoint"),
        (f"{ORIGIN}\n7\nAAAA\n\n", "32 octets"),
        (f"{ORIGIN}\n7\n{ROOT}\n\n", "not signed"),
        (f"{ORIGIN}\n7\n{ROOT}\n", "not signed"),
        (f"{ORIGIN}\n7\n{ROOT}\n\n— {ORIGIN} AAAA\n", "not signed"),
        (signed_by(KEY).replace("\n7\n", "\n8\n"), "not signed"),
        (signed_by(KEY, "other"), "not signed"),
        (signed_by(SigningKey.generate()), "not signed"),
        (signed_by(KEY).replace("— ", "- "), "not signed"),
    ],
)
def test_note_that_does_not_hold_is_refused(note: str, words: str) -> None:
    """Not a checkpoint, changed, of another log, or of another key."""
    with pytest.raises(AuditError, match=words):
        tlog.open_checkpoint(note, origin=ORIGIN, public_key=KEY.public_key)
