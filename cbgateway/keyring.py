"""Keys and people: made, rotated with overlap, revoked at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import (
    InputError,
    KeyUnusableError,
    SignatureInvalidError,
    UnknownNameError,
)
from cbgateway.domain.people import Key, Permission, Person
from cbgateway.domain.ports import Clock
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.settings import Settings
from cbgateway.signing.canonical import encode_base64url
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Keyring:
    """The people and keys of one gateway: public halves in its store, private ones in files."""

    settings: Settings
    deployment: Deployment
    store: SqliteStore
    clock: Clock

    def seal_keys(self, regions: Iterable[str]) -> dict[str, SigningKey]:
        """Read the newest valid sealing key of some regions."""
        now = self.clock.now()
        with self.store.read() as tx:
            newest = {
                key.holder: key.key_id
                for key in tx.region_keys()
                if key.is_valid_at(now) and not key.kit
            }
        folder = self.settings.keys / "regions"
        keys = {}
        for code in regions:
            if code not in newest:
                msg = f"region {code} has no valid sealing key; `cbgateway keys rotate-region`"
                raise SignatureInvalidError(msg)
            keys[code] = self._load(folder, code, newest[code])
        return keys

    def region_signing_key(self, code: str, key_id: str) -> SigningKey:
        """Read one sealing key of a region, the newest or an earlier one.

        Raises:
            KeyUnusableError: the key file is not there, or holds another key.
        """
        return self._load(self.settings.keys / "regions", code, key_id)

    def person_signing_key(self, name: str) -> SigningKey:
        """Read the newest valid key of a machine whose key this gateway keeps.

        Raises:
            SignatureInvalidError: it has none that counts.
            KeyUnusableError: the key file is not there, or not the newest.
        """
        now = self.clock.now()
        with self.store.read() as tx:
            valid = [key.key_id for key in tx.person_keys(name) if key.is_valid_at(now)]
        if not valid:
            msg = f"{name!r} has no valid key; `cbgateway keys new` or `keys rotate`"
            raise SignatureInvalidError(msg)
        return self._load(self.settings.keys / "people", name, valid[-1])

    def _load(self, folder: Path, holder: str, key_id: str) -> SigningKey:
        rotated = folder / f"{holder}.{key_id}.pem"
        key = SigningKey.load(rotated if rotated.exists() else folder / f"{holder}.pem")
        if key.key_id != key_id:
            msg = f"key {key.key_id} in {folder} is not the newest of {holder}"
            raise KeyUnusableError(msg)
        return key

    def add_person(
        self,
        name: str,
        *,
        may_submit: bool,
        may_approve: bool,
        permission: Permission,
        owner: str = "",
    ) -> tuple[Key, Path]:
        """Make a key for somebody, or a machine, and register its public half.

        Args:
            name: new here.
            may_submit: may issue bulletins.
            may_approve: may approve what others issued.
            permission: where, and what.
            owner: of a machine, the person who answers for its key.

        Raises:
            InputError: the name is taken, or a machine may approve.
            UnknownNameError: a region, class or owner that is not known.
            KeyUnusableError: the key file cannot be written.
        """
        for code in permission.regions:
            self.deployment.check_region(code)
        for alert_class in permission.classes:
            self.deployment.alert_class(alert_class)
        if owner and may_approve:
            msg = "a machine may not approve: people decide"
            raise InputError(msg)
        path = self.settings.keys / "people" / f"{name}.pem"
        key = SigningKey.generate()
        now = self.clock.now()
        person = Person(name, may_submit, may_approve, permission, owner)
        with self.store.transaction() as tx:
            if tx.person(name) is not None:
                msg = f"{name!r} is registered already; names are never given twice"
                raise InputError(msg)
            if owner and tx.person(owner) is None:
                raise UnknownNameError("owner", owner, known=tuple(p.name for p in tx.people()))
            tx.put_person(person)
            public = Key(key.key_id, name, key.public_key, now.replace(microsecond=0))
            tx.put_person_key(public)
            detail = {"key": key.key_id, "owner": owner}
            tx.record(Event(now, name, "person-added", GATEWAY, detail))
            key.save(path)
        return public, path

    def rotate_person(self, name: str, *, overlap: timedelta) -> tuple[Key, Path]:
        """Give somebody a new key; the ones before count for `overlap` longer.

        Raises:
            UnknownNameError: nobody has this name.
        """
        with self.store.transaction() as tx:
            if tx.person(name) is None:
                raise UnknownNameError("person", name, known=tuple(p.name for p in tx.people()))
            return self._rotate(
                tx.person_keys(name),
                name,
                self.settings.keys / "people",
                overlap,
                tx.put_person_key,
                tx.record,
            )

    def rotate_region(self, code: str, *, overlap: timedelta) -> tuple[Key, Path]:
        """Give a region a new sealing key; seals by the ones before stay good.

        Raises:
            UnknownNameError: no such region.
        """
        self.deployment.check_region(code)
        with self.store.transaction() as tx:
            return self._rotate(
                tuple(key for key in tx.region_keys() if key.holder == code and not key.kit),
                code,
                self.settings.keys / "regions",
                overlap,
                tx.put_region_key,
                tx.record,
            )

    def _rotate(
        self,
        old: Iterable[Key],
        holder: str,
        folder: Path,
        overlap: timedelta,
        put: Callable[[Key], None],
        record: Callable[[Event], int],
    ) -> tuple[Key, Path]:
        now = self.clock.now()
        key = SigningKey.generate()
        for one in old:
            if not one.is_revoked and (one.until is None or one.until > now + overlap):
                put(replace(one, until=now + overlap))
        public = Key(key.key_id, holder, key.public_key, now)
        put(public)
        record(Event(now, holder, "key-rotated", GATEWAY, {"key": key.key_id}))
        path = folder / f"{holder}.{key.key_id}.pem"
        key.save(path)
        return public, path

    def revoke(self, name: str) -> str:
        """Take back a person's permissions, or one key of a person or region by its name.

        Unsent work that rests on it does not leave any more. Gives what it was: ``person`` or
        ``key``.

        Raises:
            UnknownNameError: neither.
        """
        now = self.clock.now()
        with self.store.transaction() as tx:
            person, key = tx.person(name), tx.person_key(name)
            regions = {one.key_id: one for one in tx.region_keys()}
            if person is not None:
                tx.put_person(replace(person, is_revoked=True))
            elif key is not None:
                tx.put_person_key(replace(key, is_revoked=True))
            elif name in regions:
                tx.put_region_key(replace(regions[name], is_revoked=True))
            else:
                known = tuple(one.name for one in tx.people())
                raise UnknownNameError("person or key", name, known=known)
            tx.record(Event(now, name, "revoked", GATEWAY, {}))
        return "key" if person is None else "person"

    def published_keys(self) -> dict[str, Any]:
        """Give the public sealing keys as a JWK Set (RFC 7517 5)."""
        with self.store.read() as tx:
            keys = tx.region_keys()
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "alg": "Ed25519",
                    "use": "sig",
                    "kid": key.key_id,
                    "x": encode_base64url(key.public_key),
                    "region": key.holder,
                }
                for key in keys
                if not key.is_revoked
            ]
        }
