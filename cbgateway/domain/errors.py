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
            f"needs {pages} pages, at most {pages_max} fit",
            field="pages",
            clause="TS 23.041 9.4.1.2",
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


class InputError(GatewayError):
    """A document or an argument does not have the form that the gateway reads.

    Attributes:
        problems: one line per fault, each naming where it stands.
    """

    code = "input-invalid"

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class MalformedError(InputError):
    """A document is no JSON that the gateway reads, so nothing in it was looked at.

    Attributes:
        fault: stable name of what is wrong with it, for programs.
    """

    def __init__(self, problem: str, *, fault: str) -> None:
        super().__init__(problem)
        self.fault = fault


class PolicyError(GatewayError):
    """A rule refuses the request; nothing was sent and nothing is kept."""

    code = "refused"


class TextTooLongError(PolicyError):
    """A text has more characters than its alert class allows."""

    code = "text-too-long"

    def __init__(
        self, *, language: str, characters: int, characters_max: int, alert_class: str
    ) -> None:
        super().__init__(
            f"text in {language!r} has {characters} characters, "
            f"class {alert_class!r} allows {characters_max}: shorten it by "
            f"{characters - characters_max}"
        )
        self.characters = characters
        self.characters_max = characters_max
        self.alert_class = alert_class


class NotBroadcastableError(PolicyError):
    """A text cannot be put on air in its language's coding."""

    code = "text-not-encodable"

    def __init__(self, language: str, problem: EncodeError) -> None:
        super().__init__(f"text in {language!r}: {problem}")
        self.language = language


class DrillSaysRealError(PolicyError):
    """The text of a drill says that it is real.

    Attributes:
        words: that say so.
    """

    code = "drill-says-real"

    def __init__(self, language: str, words: str) -> None:
        super().__init__(f"text in {language!r} of an exercise says {words!r}: take that out")
        self.language = language
        self.words = words


class UnknownNameError(PolicyError):
    """A bulletin names a region, class, language, carrier or template that no profile has."""

    code = "unknown-name"

    def __init__(self, what: str, name: str, *, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown {what} {name!r}; known: {', '.join(known)}")
        self.what = what
        self.name = name
        self.known = known


class ExpiredError(PolicyError):
    """The bulletin's expiry has passed, or lies where it may not."""

    code = "expired"


class WorkflowError(PolicyError):
    """What was asked for is not possible in the state that the bulletin or incident is in."""

    code = "workflow"


class StaleError(WorkflowError):
    """Something newer has been decided since; look again before deciding."""

    code = "stale"


class SamePersonError(PolicyError):
    """Whoever wrote or submitted a bulletin may not approve it: it takes two people."""

    code = "same-person"


class PermissionDeniedError(PolicyError):
    """This person may not do this here."""

    code = "permission-denied"


class IdentifierReusedError(PolicyError):
    """The sender has used this identifier for a bulletin with other content."""

    code = "identifier-reused"


class BudgetExhaustedError(PolicyError):
    """The region has had as many bulletins of this class as it may have for now.

    Attributes:
        region: code of the region whose budget is empty.
        refills_in_s: seconds until the budget holds one bulletin again.
    """

    code = "budget-exhausted"

    def __init__(
        self, *, region: str, alert_class: str, sender: str, refills_in_s: float, at: str
    ) -> None:
        whose = f" for {sender!r}, who may use half of it" if sender else ""
        super().__init__(
            f"region {region} has no budget left for class {alert_class!r}{whose}; "
            f"it is possible again in {refills_in_s:.0f} s, at {at}"
        )
        self.region = region
        self.refills_in_s = refills_in_s


class DeadlineError(PolicyError):
    """A bulletin promises its next update later than the deadline profile allows."""

    code = "deadline-missing"


class HeartbeatError(PolicyError):
    """A "no change yet" bulletin is not one that the deadline profile's policy allows."""

    code = "heartbeat-policy"


class ContactError(PolicyError):
    """A text shows a number or link that is not in the verified directory, or leads nowhere now.

    Attributes:
        contact: as it stands in the text.
    """

    code = "contact-not-verified"

    def __init__(self, problem: str, *, contact: str) -> None:
        super().__init__(f"{contact!r} {problem}")
        self.contact = contact


class CauseError(PolicyError):
    """A text names a cause that nobody has confirmed."""

    code = "cause-unverified"


class UnknownCodeError(PolicyError):
    """No bulletin of this gateway has this verification code: it is not ours."""

    code = "code-unknown"


class DuplicateError(PolicyError):
    """The same sender has just told the same regions the same."""

    code = "duplicate"


class ConfirmationError(PolicyError):
    """A wide area, or unverified digits, need the approver to type what is about to be done."""

    code = "confirmation-needed"

    def __init__(self, phrase: str, *, given: str) -> None:
        super().__init__(
            f"this reaches a wide area, or shows digits that nobody has verified; type {phrase!r} "
            f"to confirm, not {given!r} (`--confirm` for programs)"
        )
        self.phrase = phrase


class SerialsExhaustedError(PolicyError):
    """All message codes that this gateway may take were used within the duplicate window."""

    code = "serials-exhausted"


class ModeMismatchError(PolicyError):
    """A database, carrier or bulletin of one mode meets another mode; they never mix."""

    code = "mode-mismatch"


class StoreError(GatewayError):
    """The database cannot be used as it is; nothing was changed."""

    code = "store-unusable"


class StoreFailedError(StoreError):
    """The disk failed under a commit; this process must not go on (see docs/operations.md)."""

    code = "store-failed"


class DiskFullError(StoreError):
    """The disk is full; only what is never blocked is taken in until there is room again."""

    code = "disk-full"


class ConfigurationError(GatewayError):
    """The gateway may not start as it is set up.

    Attributes:
        reasons: every reason found, not only the first.
    """

    code = "configuration"

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class AuditError(GatewayError):
    """The history is not the one that was witnessed: changed, or an old copy that is back."""

    code = "audit-broken"


class SignatureInvalidError(GatewayError):
    """A signature does not belong to what it came with, or its key is not known here."""

    code = "signature-invalid"


class KeyUnusableError(GatewayError):
    """A key file is missing, readable by others, or not an Ed25519 key."""

    code = "key-unusable"


class DeliveryError(GatewayError):
    """An order did not reach a positive answer from its peer."""

    code = "carrier"


class NotSentError(DeliveryError):
    """Nothing left this machine; trying again cannot repeat anything."""

    code = "not-sent"


class UnansweredError(DeliveryError):
    """It was sent and the peer said nothing; it may or may not be on air."""

    code = "unanswered"


class RejectedError(DeliveryError):
    """The peer refused.

    Attributes:
        cause: the peer's answer by its specification name, such as ``ESME_RTHROTTLED``.
        is_temporary: True when the same request may succeed later.
        is_absent: True when the peer does not have what was to be replaced or stopped.
    """

    code = "rejected"

    def __init__(self, cause: str, *, is_temporary: bool, is_absent: bool = False) -> None:
        super().__init__(f"the peer refused: {cause}")
        self.cause = cause
        self.is_temporary = is_temporary
        self.is_absent = is_absent
