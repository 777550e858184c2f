"""Bearer tokens for reading: shown once, kept as a hash in a file that nobody else can read."""

import hashlib
import hmac
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, KeyUnusableError
from cbgateway.interfaces.http.limits import TOKEN_DAYS_MAX
from cbgateway.interfaces.schema import problems_of
from cbgateway.signing.canonical import encode_base64url

SECRET_OCTETS = 32
TOKEN_CHARACTERS_MAX = 128
OTHERS = stat.S_IRWXG | stat.S_IRWXO

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Token(BaseModel):
    """One token, as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires: AwareDatetime
    is_disabled: bool = False


class TokenFile(BaseModel):
    """What the file of tokens holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: tuple[Token, ...] = ()


@dataclass(slots=True)
class Tokens:
    """The tokens of one gateway; the file is read again whenever it has changed."""

    path: Path
    _seen: tuple[int, int] = (0, 0)
    _by_hash: dict[str, Token] = field(default_factory=dict)

    def holder(self, secret: str, *, now: datetime) -> str | None:
        """Give whose token this is; None when it is nobody's, disabled, or its time has passed."""
        self._refresh()
        wanted = hash_of(secret)
        found = None
        for known, token in self._by_hash.items():
            if hmac.compare_digest(known, wanted):
                found = token
        if found is None or found.is_disabled or found.expires <= now:
            return None
        return found.name

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._by_hash, self._seen = {}, (0, 0)
            return
        seen = status.st_mtime_ns, status.st_size
        if seen != self._seen:
            self._by_hash = {token.sha256: token for token in read_tokens(self.path)}
            self._seen = seen


def hash_of(secret: str) -> str:
    """Give what is kept of a token; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read the file of tokens; none when there is no file.

    Raises:
        KeyUnusableError: others can read it.
        InputError: it is not such a file.
    """
    try:
        mode = path.stat().st_mode
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error
    if mode & OTHERS:
        msg = f"{path} can be read by others; run: chmod 600 {path}"
        raise KeyUnusableError(msg)
    try:
        return TokenFile.model_validate(document).token
    except ValidationError as error:
        raise InputError(*(f"{path}: {one}" for one in problems_of(error))) from error


def add_token(
    path: Path,
    name: str,
    *,
    mode: Mode,
    days: float,
    now: datetime,
    random: Callable[[int], bytes],
) -> tuple[str, Token]:
    """Make a token and add it to the file; gives the secret, which is kept nowhere.

    Raises:
        InputError: the name is taken, or the token would count for too long.
    """
    if not 0 < days <= TOKEN_DAYS_MAX:
        msg = f"a token counts for {TOKEN_DAYS_MAX} days at most"
        raise InputError(msg)
    tokens = read_tokens(path)
    if any(token.name == name for token in tokens):
        msg = f"there is a token {name!r} already; names are never given twice"
        raise InputError(msg)
    secret = f"cbg_{mode}_{encode_base64url(random(SECRET_OCTETS))}"
    expires = (now + timedelta(days=days)).replace(microsecond=0)
    try:
        token = Token(name=name, sha256=hash_of(secret), expires=expires)
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    _write(path, (*tokens, token))
    return secret, token


def disable_token(path: Path, name: str) -> None:
    """Have a token count no more, for good.

    Raises:
        InputError: there is none of this name.
    """
    tokens = read_tokens(path)
    if all(token.name != name for token in tokens):
        known = ", ".join(token.name for token in tokens) or "none yet"
        msg = f"there is no token {name!r}; known: {known}"
        raise InputError(msg)
    _write(
        path,
        tuple(
            token.model_copy(update={"is_disabled": True}) if token.name == name else token
            for token in tokens
        ),
    )


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    lines = ["# Bearer tokens for reading, as hashes. `cbgateway api token` adds one."]
    for token in tokens:
        lines += [
            "",
            "[[token]]",
            f'name = "{token.name}"',
            f'sha256 = "{token.sha256}"',
            f"expires = {token.expires.isoformat()}",
        ]
        if token.is_disabled:
            lines.append("is_disabled = true")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text("\n".join(lines) + "\n", "utf-8")
    fresh.replace(path)
