"""Settings as values: frozen dataclasses whose fields say how they are read and what they do.

The same readers serve a TOML file, flags and whoever changes a setting while the simulator runs,
so a wrong value is refused in the same words everywhere, with the key's name.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

T = TypeVar("T")
Reader = Callable[[Any], Any]

LIST_MAX = 10_000
"""Entries of one list; more is a mistake."""


class SettingsError(ValueError):
    """A setting is unknown, or has a value that it cannot have; names the key."""


def setting(default: Any, read: Reader, words: str) -> Any:  # noqa: ANN401 - a dataclass field of any type
    """Declare a field of a settings class.

    Args:
        default: its value when nobody says otherwise.
        read: makes the value from what TOML or JSON can hold; raises ValueError.
        words: what it does, for `--list-settings` and the documentation.
    """
    metadata = {"read": read, "words": words}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(kind: type[Any]) -> Any:  # noqa: ANN401 - a dataclass field of any type
    """Declare a field that is a settings class itself, a table in TOML."""
    return dataclasses.field(default_factory=kind, metadata={"words": "a table"})


def read_table(base: T, table: Mapping[str, Any], *, where: str = "") -> T:
    """Give a settings value with some of its fields changed.

    Args:
        base: what the fields keep that are not in the table.
        table: plain values by key; tables for groups.
        where: keys in front, for messages.

    Raises:
        SettingsError: a key is unknown, or its value is wrong.
    """
    known = {one.name: one for one in dataclasses.fields(cast("Any", base))}
    changes = {}
    for key, value in table.items():
        name = f"{where}{key}"
        if key not in known:
            raise SettingsError(unknown(name, key, known))
        present = getattr(base, key)
        if dataclasses.is_dataclass(present) and "read" not in known[key].metadata:
            if not isinstance(value, Mapping):
                raise SettingsError(f"{name} is a table")
            changes[key] = read_table(present, value, where=f"{name}.")
            continue
        try:
            changes[key] = known[key].metadata["read"](value)
        except SettingsError:
            raise
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from error
    try:
        return cast("T", dataclasses.replace(cast("Any", base), **changes))
    except ValueError as error:  # two fields that do not go together
        raise SettingsError(f"{where.rstrip('.') or 'settings'}: {error}") from error


def unknown(name: str, key: str, known: Mapping[str, Any]) -> str:
    """Say that a key is unknown, and which one may be meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"{name} is not known; {hint}"


def dotted(assignment: str) -> dict[str, Any]:
    """Read ``group.key=value`` into a table; the value is TOML, or else a text.

    Raises:
        SettingsError: there is no equals sign.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise SettingsError(f"{assignment!r} is not KEY=VALUE")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for key in reversed(path.strip().split(".")):
        value = {key: value}
    return cast("dict[str, Any]", value)


def listing(kind: type[Any], *, where: str = "") -> Iterator[tuple[str, str, str]]:
    """Give name, default and words of every setting of a class, in order."""
    base = kind()
    for one in dataclasses.fields(kind):
        value = getattr(base, one.name)
        if "read" not in one.metadata:
            yield from listing(type(value), where=f"{where}{one.name}.")
        else:
            yield f"{where}{one.name}", shown(value), one.metadata["words"]


def shown(value: Any) -> str:  # noqa: ANN401 - any setting
    """Write a value as a person would set it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    return str(value)


def flag(value: Any) -> bool:  # noqa: ANN401 - whatever TOML holds
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004 - a value
    return value


def whole(least: int, most: int) -> Reader:
    """Give a reader of whole numbers."""

    def read(value: Any) -> int:  # noqa: ANN401 - whatever TOML holds
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{value!r} is no whole number in {least}..{most}")
        return value

    return read


def number(least: float, most: float) -> Reader:
    """Give a reader of numbers."""

    def read(value: Any) -> float:  # noqa: ANN401 - whatever TOML holds
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:
            raise ValueError(f"{value!r} is no number in {least:g}..{most:g}")
        return float(value)

    return read


def share(value: Any) -> float:  # noqa: ANN401 - whatever TOML holds
    """Read a share: 0 to 1, or a percentage such as ``5%``."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            value = float(value[:-1]) / 100
        except ValueError:
            raise ValueError(f"{value!r} is no percentage") from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no share in 0..1 or 0%..100%")
    return float(value)


def text(most: int, *, least: int = 0) -> Reader:
    """Give a reader of ASCII texts of limited length."""

    def read(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # a telephone number on the command line
        if not isinstance(value, str) or not value.isascii() or "\0" in value:
            raise ValueError(f"{value!r} is no text of ASCII characters in quotes")
        if not least <= len(value) <= most:
            raise ValueError(f"{value!r} has {len(value)} characters, not {least}..{most}")
        return value

    return read


def words(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
    """Read a text in any script."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no text in quotes")
    return value


def choice(*names: str) -> Reader:
    """Give a reader of one of some names."""

    def read(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
        if value not in names:
            near = difflib.get_close_matches(str(value), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it is {' or '.join(names)}"
            raise ValueError(f"{value!r} is not possible; {hint}")
        return cast("str", value)

    return read


def list_of(read_one: Reader) -> Reader:
    """Give a reader of lists, which become tuples; one value alone is a list of one."""

    def read(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever TOML holds
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) > LIST_MAX:
            raise ValueError(f"{len(values)} entries, at most {LIST_MAX}")
        return tuple(read_one(one) for one in values)

    return read


def table_of(read_key: Reader, read_value: Reader) -> Reader:
    """Give a reader of tables with free keys."""

    def read(value: Any) -> dict[Any, Any]:  # noqa: ANN401 - whatever TOML holds
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is no table")  # noqa: TRY004 - a value
        return {read_key(key): read_value(one) for key, one in value.items()}

    return read


def plain(value: Any) -> Any:  # noqa: ANN401 - a settings value, or one of its fields
    """Give a settings value as JSON can hold it, such that `read_table` reads it back."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, bool | int | float | str):
        return value
    fields = dataclasses.fields(value)
    if any(one.metadata for one in fields):
        return {one.name: plain(getattr(value, one.name)) for one in fields}
    return str(value)
