"""A virtual phone of the demo asks by short message, and is answered on its screen."""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from cbgateway.domain.errors import InputError

TIMEOUT_S = 10


@dataclass(slots=True)
class Dialogue:
    """One question and its answer.

    Attributes:
        carrier: whose phone it is.
        answer: empty until it is there.
    """

    carrier: str
    phone: str
    question: str
    answer: str = ""

    def facts(self) -> dict[str, Any]:
        """Give it, ready for JSON."""
        return {
            "carrier": self.carrier,
            "phone": self.phone,
            "question": self.question,
            "answer": self.answer,
        }

    def lines(self) -> list[str]:
        """Give what stands in the time line."""
        asked = f"{self.phone} asks by SMS: {self.question}"
        return [asked, *([f"its screen: {self.answer}"] if self.answer else [])]


async def ask(web: str, dialogue: Dialogue, *, number: str) -> None:
    """Have a simulated phone send its question to a number.

    Args:
        web: address of the message centre's control, as its event `ready` tells.
        dialogue: who asks what.
        number: that people ask at.

    Raises:
        InputError: the message centre did not take it.
    """
    body = {"source": dialogue.phone, "destination": number, "text": dialogue.question}
    status = await asyncio.to_thread(_post, web, json.dumps(body).encode())
    if status != HTTPStatus.ACCEPTED:
        msg = f"the simulated message centre of {dialogue.carrier} answered {status}"
        raise InputError(msg)


def _post(web: str, body: bytes) -> int:
    connection = HTTPConnection(urlsplit(web).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/messages", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
