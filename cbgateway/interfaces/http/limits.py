"""Every limit of the HTTP interface, each with its reason."""

from cbgateway.interfaces.schema import DOCUMENT_OCTETS_MAX

BODY_OCTETS_MAX = DOCUMENT_OCTETS_MAX
"""The same as for documents from files: a way in is no wider than another."""

HEADERS_MAX = 64
"""A browser behind two proxies sends some thirty."""

HEAD_OCTETS_MAX = 16_384
"""Request line and headers together; a signed request has two thousand."""

CONNECTIONS_MAX = 256
"""At once, those that watch events included; each costs some 50 KiB."""

HEAD_TIMEOUT_S = 10.0
"""From the first octet, or the connection's beginning, to the end of the headers."""

BODY_TIMEOUT_S = 20.0
"""256 KiB in that time is slower than any line that carries alerts."""

KEEP_ALIVE_S = 30
"""An idle connection; a client that goes on polling keeps it."""

ANSWER_TIMEOUT_S = 30.0
"""A request that has not been answered by then is told so; the store's busy timeout is shorter."""

SHUTDOWN_TIMEOUT_S = 5
"""How long answers under way are waited for when stopping."""

PAGE_MAX = 200
"""Items of one page."""

PAGE_DEFAULT = 50

EVENTS_CONNECTIONS_MAX = 64
"""Of all connections, those that watch events; the others stay free for work."""

EVENTS_BATCH_MAX = 200
"""Events written at once, before the next batch is read."""

EVENTS_POLL_S = 0.1
"""How often it is looked whether something was committed."""

EVENTS_HEARTBEAT_S = 15.0
"""A comment goes out when nothing else does, so that both sides notice a dead line."""

PROOFS_EACH_BURST = 20
"""Codes that one address may look up at once: a family behind one router."""

PROOFS_EACH_PER_S = 0.5
"""And from then on; to try a millionth of all codes takes one address half an hour."""

PROOFS_ALL_BURST = 500
"""Codes that everybody together may look up at once."""

PROOFS_ALL_PER_S = 200.0
"""And from then on; a page takes a few milliseconds to make, and alerts come first."""

PROOF_ADDRESSES_MAX = 10_000
"""Addresses whose budgets are remembered: some two MiB."""

SIGNATURE_WINDOW_S = 300
"""How far a signature's time may lie from ours, both ways."""

IDEMPOTENCY_HOURS = 24
"""How long a client may repeat a request under the same Idempotency-Key."""

ANSWERS_TIDIED_EVERY = 16
"""With one write of so many, old answers are dropped."""

ANSWERS_FORGOTTEN_AT_ONCE = 64
"""Old answers dropped then: more than were added, so that they never pile up."""

TOKEN_DAYS_MAX = 90
"""A bearer token is copied around; it ends by itself."""
