"""Bundles for broadcasters, signs and other carriers' pages: put together, sealed, checked."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cbgateway.domain.errors import (
    InputError,
    KeyUnusableError,
    SignatureInvalidError,
    UnknownNameError,
)
from cbgateway.domain.people import Key
from cbgateway.keyring import Keyring
from cbgateway.public.bundle import MANIFEST, SIGNATURE, bundle_files, said
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached, verify_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.telling import Telling

CONTENT = "cbgateway-bundle-1"
"""Content name of the signature over a manifest."""
FORMAT = 1
OCTETS_MAX = 16 * 1_048_576
"""Of a bundle that is checked: a hundred times an honest one."""
ZIP_YEAR_MIN = 1980  # the format's first


@dataclass(frozen=True, slots=True)
class Bundles:
    """The bundles of one gateway."""

    telling: Telling
    keyring: Keyring

    def make(self, bulletin_id: str) -> dict[str, bytes]:
        """Give every file of a bulletin's bundle by its name: the same octets whenever asked.

        Raises:
            UnknownNameError: no such bulletin went out.
            KeyUnusableError: the region's sealing key of that time is not there.
        """
        return self._make(bulletin_id)[0]

    def zipped(self, bulletin_id: str) -> bytes:
        """Give the same as one ZIP file."""
        files, at = self._make(bulletin_id)
        return zip_of(files, at)

    def export(self, bulletin_id: str, out: Path) -> list[str]:
        """Write a bundle: one file when the name ends in ``.zip``, else a new folder.

        Raises:
            UnknownNameError: no such bulletin went out.
            InputError: there is something already, or it cannot be written.
        """
        files, at = self._make(bulletin_id)
        try:
            if out.suffix == ".zip":
                with out.open("xb") as file:
                    file.write(zip_of(files, at))
                return sorted(files)
            out.mkdir(parents=True, exist_ok=True)
            if any(out.iterdir()):
                msg = f"{out} is not empty; a bundle is written into a folder of its own"
                raise InputError(msg)
            for name, octets in files.items():
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(octets)
        except OSError as error:
            msg = f"{out}: {error.strerror}"
            raise InputError(msg) from error
        return sorted(files)

    def _make(self, bulletin_id: str) -> tuple[dict[str, bytes], datetime]:
        incident_id, _, number = bulletin_id.rpartition("/")
        telling = self.telling
        with telling.store.read() as tx:
            site = telling.site_in(tx)
            seals = {one.lineage.region: one.seal for one in tx.deliveries(bulletin_id)}
            keys = tx.region_keys()
        outage = site.publication.outage(incident_id)
        one = None
        if outage is not None and number.isdecimal():
            one = said(site, outage, int(number), seals=seals)
        if one is None:
            raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))
        telling.publish_alerts()
        files = bundle_files(one, telling.alert(bulletin_id))
        at, bulletin = one.notice.said_at, one.notice.bulletin
        manifest = {
            "format": FORMAT,
            "bulletin": bulletin_id,
            "mode": bulletin.mode.value,
            "said_at": at.isoformat(),
            "region": bulletin.regions[0],
            "files": {
                name: {"octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
                for name, octets in sorted(files.items())
            },
        }
        key = self._key(keys, bulletin.regions[0], at)
        signature = sign_detached(canonical(manifest), key, content=CONTENT)
        files[MANIFEST] = json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n"
        files[SIGNATURE] = signature.encode() + b"\n"
        return files, at

    def _key(self, keys: Iterable[Key], region: str, at: datetime) -> SigningKey:
        """Read the sealing key that the region had when a bulletin was said."""
        valid = [one for one in keys if one.holder == region and one.is_valid_at(at)]
        own = [one for one in valid if not one.kit]
        if not own:
            msg = f"region {region} had no sealing key of this gateway at {at.isoformat()}"
            raise KeyUnusableError(msg)
        return self.keyring.region_signing_key(region, own[-1].key_id)


def zip_of(files: Mapping[str, bytes], at: datetime) -> bytes:
    """Put files into a ZIP file: the same files, the same octets."""
    buffer = io.BytesIO()
    stamp = (max(at.year, ZIP_YEAR_MIN), at.month, at.day, at.hour, at.minute, at.second)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for name, octets in sorted(files.items()):
            info = zipfile.ZipInfo(name, stamp)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # as if on Unix, whatever made it
            bundle.writestr(info, octets)
    return buffer.getvalue()


def check_bundle(path: Path, keys: Iterable[Key]) -> dict[str, Any]:
    """Check a bundle's files against its manifest, and that against its signature.

    Args:
        path: a folder or a ZIP file.
        keys: public sealing keys of regions.

    Returns:
        The manifest.

    Raises:
        InputError: it is no bundle.
        SignatureInvalidError: something in it was changed, or nobody known has signed it.
    """
    files = _read(path)
    try:
        manifest = json.loads(files.pop(MANIFEST))
        signature = files.pop(SIGNATURE).decode("ascii").strip()
        wanted = {str(name): one["sha256"] for name, one in manifest["files"].items()}
        payload = canonical(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"{path} is no bundle: {error}"
        raise InputError(msg) from error
    known = {one.key_id: one for one in keys if not one.is_revoked}

    def lookup(key_id: str) -> bytes | None:
        key = known.get(key_id)
        is_regions = key is not None and key.holder == manifest.get("region")
        return key.public_key if key is not None and is_regions else None

    verify_detached(signature, payload, lookup, content=CONTENT)
    found = {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    changed = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if changed:
        msg = f"{path}: {', '.join(changed[:10])} is not what was sealed"
        raise SignatureInvalidError(msg)
    return dict(manifest)


def _read(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            found = [one for one in sorted(path.rglob("*")) if one.is_file()]
            _check_size(path, sum(one.stat().st_size for one in found))
            return {str(one.relative_to(path)): one.read_bytes() for one in found}
        with zipfile.ZipFile(path) as bundle:
            _check_size(path, sum(one.file_size for one in bundle.infolist()))
            return {name: bundle.read(name) for name in bundle.namelist()}
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        msg = f"{path} is no bundle: {error}"
        raise InputError(msg) from error


def _check_size(path: Path, octets: int) -> None:
    if octets > OCTETS_MAX:
        msg = f"{path} has {octets} octets, at most {OCTETS_MAX} are read"
        raise InputError(msg)
