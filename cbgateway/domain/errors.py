"""Errors the gateway names: whose fault it is decides the branch, an error never changes sides."""


class GatewayError(Exception):
    """Root of every error that this project raises on purpose.

    Attributes:
        code: stable kebab-case name, the same in JSON output, problem documents and the docs.
    """

    code = "gateway-error"


class EncodeError(GatewayError):
    """We were asked to encode what the specification cannot carry.

    Attributes:
        field: the information element, spelled as the specification spells it.
        clause: where the limit stands.
    """

    code = "not-encodable"

    def __init__(self, problem: str, *, field: str, clause: str) -> None:
        super().__init__(f"{field}: {problem} ({clause})")
        self.problem = problem
        self.field = field
        self.clause = clause


class NotEncodableError(EncodeError):
    """A character has no code in the wanted alphabet.

    Attributes:
        character: the first such character.
        index: its position in the text.
    """

    code = "character-not-encodable"

    def __init__(self, *, character: str, index: int, alphabet: str, clause: str) -> None:
        super().__init__(
            f"character {character!r} (U+{ord(character):04X}) at position {index} "
            f"is not in {alphabet}",
            field="text",
            clause=clause,
        )
        self.character = character
        self.index = index


class TooManyPagesError(EncodeError):
    """A text needs more cell broadcast pages than one message may have."""

    code = "too-many-pages"

    def __init__(self, *, pages: int, pages_max: int) -> None:
        super().__init__(
            f"needs {pages} pages, at most {pages_max} fit", field="pages", clause="TS 23.041 9.4.1.2"
        )
        self.pages = pages
        self.pages_max = pages_max


class DecodeError(GatewayError):
    """Octets from a peer break the specification.

    Attributes:
        field: the information element, spelled as the specification spells it.
        offset: index of the first octet at fault, from the start of the PDU.
        clause: where the broken rule stands, such as ``"SMPP 5.0 4.8"``.
        framing_lost: True when the end of the PDU is unknown, so that the link must be reset.
    """

    code = "decode-error"

    def __init__(
        self, problem: str, *, field: str, offset: int, clause: str, framing_lost: bool = False
    ) -> None:
        super().__init__(f"{field} at octet {offset}: {problem} ({clause})")
        self.problem = problem
        self.field = field
        self.offset = offset
        self.clause = clause
        self.framing_lost = framing_lost
