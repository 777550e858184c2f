"""Verification codes: six characters by which people find the exact official text of a bulletin."""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U, so that nothing on paper or aloud is taken for another."""

CODE_CHARACTERS = 6
"""Thirty bits: with a thousand codes in use, one guess in a million finds one."""

CODE_BITS = 5 * CODE_CHARACTERS

LOOK_ALIKES = str.maketrans("OIL", "011")
"""What people type for the characters that they take for others."""

SEPARATORS = str.maketrans("", "", " -")


def new_code() -> str:
    """Make a code that nobody can guess."""
    drawn = secrets.randbits(CODE_BITS)  # once: each draw asks the system
    return "".join(ALPHABET[drawn >> bit & 31] for bit in range(0, CODE_BITS, 5))


def read_code(text: str) -> str | None:
    """Give the code that somebody has typed; None when it cannot be one."""
    code = text.strip().upper().translate(SEPARATORS).translate(LOOK_ALIKES)
    if len(code) != CODE_CHARACTERS or set(code) - set(ALPHABET):
        return None
    return code
