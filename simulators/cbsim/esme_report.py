"""What a load came to: a table for people, an object for programs, an exit code for CI."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cbgateway.codec import smpp
from cbsim.esme_histogram import LogHistogram
from cbsim.esme_load import Load, Tally

EXIT_EXPECTATION = 1
EXIT_NOT_ALL_ACCEPTED = 4
QUANTILES = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
PERCENT = 100


@dataclass(frozen=True, slots=True)
class Expectations:
    """What has to hold for a run to pass; None for what need not.

    Attributes:
        rate: answers a second, at least.
        p99_ms: the 99th percentile of latency, at most; from the intended time where there is one.
        accepted: messages, at least; a share of those planned when `is_share`.
    """

    rate: float | None = None
    p99_ms: float | None = None
    accepted: float | None = None
    is_share: bool = False


def parse_accepted(text: str) -> tuple[float, bool]:
    """Read ``1000`` or ``99.5%``; gives the number, and whether it is a share from 0 to 1.

    Raises:
        ValueError: it is neither.
    """
    is_share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor a percentage") from None
    if number < 0 or (is_share and number > PERCENT):
        raise ValueError(f"{text!r} cannot be reached")
    return (number / PERCENT, True) if is_share else (number, False)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run.

    Attributes:
        seconds_s: from the first message's time to the last answer.
        unsent: messages that the schedule held and that did not go out.
        problems: why binds ended before their time.
    """

    tally: Tally
    seconds_s: float
    unsent: int
    is_open: bool
    problems: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Answers a second."""
        answered = self.tally.accepted + self.tally.refused.total()
        return answered / self.seconds_s if self.seconds_s > 0 else 0.0

    @property
    def was_all_accepted(self) -> bool:
        """Tell whether every message went out and was answered by ESME_ROK."""
        return self.tally.accepted == self.tally.sent and not self.unsent and not self.problems

    def failures(self, wanted: Expectations) -> list[str]:
        """Say which expectations do not hold."""
        failed = []
        if wanted.rate is not None and self.rate < wanted.rate:
            failed.append(f"rate {self.rate:.1f}/s, expected at least {wanted.rate:g}/s")
        latency = self.tally.from_intended if self.is_open else self.tally.from_sent
        p99_ms = _milliseconds(latency.quantile(QUANTILES["p99"]))
        if wanted.p99_ms is not None and not (latency.count and p99_ms <= wanted.p99_ms):
            found = f"{p99_ms:g} ms" if latency.count else "of nothing"
            failed.append(f"p99 {found}, expected at most {wanted.p99_ms:g} ms")
        if wanted.accepted is not None:
            planned = self.tally.sent + self.unsent
            needed = wanted.accepted * planned if wanted.is_share else wanted.accepted
            if self.tally.accepted < needed:
                failed.append(f"accepted {self.tally.accepted}, expected at least {needed:g}")
        return failed

    def exit_code(self, wanted: Expectations) -> int:
        """Give 1 when an expectation fails, 4 when a message was not accepted, else 0.

        An expectation of how many are accepted stands in for all of them.
        """
        if self.failures(wanted):
            return EXIT_EXPECTATION
        is_enough = self.was_all_accepted or (wanted.accepted is not None and not self.problems)
        return 0 if is_enough else EXIT_NOT_ALL_ACCEPTED

    def as_dict(self, wanted: Expectations) -> dict[str, Any]:
        """Give everything under stable names."""
        tally = self.tally
        return {
            "sent": tally.sent,
            "accepted": tally.accepted,
            "refused": refused_by_name(tally),
            "unanswered": tally.unanswered,
            "answered_late": tally.answered_late,
            "unsent": self.unsent,
            "duplicate_responses": tally.duplicates,
            "stray_responses": tally.strays,
            "unreadable_pdus": tally.unreadable,
            "receipts": dict(sorted(tally.receipts.items())),
            "messages_received": tally.delivered,
            "seconds": round(self.seconds_s, 3),
            "rate_per_s": round(self.rate, 1),
            "sent_late": tally.late,
            "latest_ms": round(tally.latest_s * 1e3, 3),
            "latency_ms": {
                "from_sent": percentiles(tally.from_sent),
                "from_intended": percentiles(tally.from_intended) if self.is_open else None,
            },
            "problems": list(self.problems),
            "failed_expectations": self.failures(wanted),
            "exit_code": self.exit_code(wanted),
        }

    def lines(self, wanted: Expectations) -> Iterator[str]:
        """Give the table."""
        tally = self.tally
        yield _row("sent", f"{tally.sent}")
        yield _row("accepted", f"{tally.accepted}")
        yield _row("refused", f"{tally.refused.total()}")
        for name, count in refused_by_name(tally).items():
            yield _row(f"  {name}", f"{count}")
        yield _row("unanswered", f"{tally.unanswered}")
        for name, count in (
            ("answered late", tally.answered_late),
            ("not sent", self.unsent),
            ("duplicate responses", tally.duplicates),
            ("stray responses", tally.strays),
            ("unreadable PDUs", tally.unreadable),
            ("messages received", tally.delivered),
        ):
            if count:
                yield _row(name, f"{count}")
        if tally.receipts:
            yield _row("receipts", f"{tally.receipts.total()}")
        for name, count in sorted(tally.receipts.items()):
            yield _row(f"  {printable(name)}", f"{count}")
        yield _row("rate", f"{self.rate:.1f}/s in {self.seconds_s:.3f} s")
        if tally.late:
            yield _row("sent late", f"{tally.late}, at most {tally.latest_s * 1e3:.1f} ms")
        yield from _latency("latency", tally.from_sent)
        if self.is_open:
            yield from _latency("latency from intended time", tally.from_intended)
        for problem in self.problems:
            yield f"problem: {printable(problem)}"
        for failure in self.failures(wanted):
            yield f"failed: {failure}"


def refused_by_name(tally: Tally) -> dict[str, int]:
    """Give refusals by the names of their statuses, most frequent first."""
    return {smpp.status_name(status): count for status, count in tally.refused.most_common()}


def percentiles(histogram: LogHistogram) -> dict[str, float] | None:
    """Give milliseconds by name; None when nothing was measured."""
    if not histogram.count:
        return None
    found = {name: _milliseconds(histogram.quantile(at)) for name, at in QUANTILES.items()}
    return found | {"max": _milliseconds(histogram.value_max)}


def progress_line(tally: Tally, load: Load, *, outstanding: int, now_s: float) -> str:
    """Give the line that is shown each second.

    Args:
        tally: so far.
        load: when it began.
        outstanding: messages that wait on all binds.
        now_s: the time.
    """
    elapsed_s = now_s - load.started_s
    answered = tally.accepted + tally.refused.total()
    p99_ms = _milliseconds(tally.from_sent.quantile(QUANTILES["p99"]))
    return (
        f"{elapsed_s:.0f} s: sent {tally.sent}, accepted {tally.accepted}, "
        f"refused {tally.refused.total()}, unanswered {tally.unanswered}, waiting {outstanding}, "
        f"{answered / max(elapsed_s, 1e-3):.0f}/s, p99 {p99_ms:.1f} ms"
    )


def printable(text: str) -> str:
    """Give a text that came from a peer so that it cannot steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _latency(name: str, histogram: LogHistogram) -> Iterator[str]:
    found = percentiles(histogram)
    if found is not None:
        yield _row(name, ", ".join(f"{key} {value:.3f}" for key, value in found.items()) + " ms")


def _row(name: str, value: str) -> str:
    return f"{name:28} {value}"


def _milliseconds(microseconds: int) -> float:
    return microseconds / 1_000
