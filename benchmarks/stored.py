"""Bulletins that are there before a benchmark begins, stored by the same rules as any others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cbgateway.app import Gateway
from cbgateway.interfaces.schema import parse_bulletin
from cbgateway.service.intake import SUBMISSION
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey

AT_ONCE = 500  # of one commit


def store(
    home: Path, count: int, document_of: Callable[[int], tuple[dict[str, Any], SigningKey]]
) -> None:
    """Store bulletins, many to a commit.

    Args:
        home: the gateway's folder.
        count: how many.
        document_of: gives one by its number, with its sender's key.
    """
    with Gateway.open(home) as gateway:
        for start in range(0, count, AT_ONCE):
            with gateway.store.transaction() as tx:
                for number in range(start, min(start + AT_ONCE, count)):
                    document, key = document_of(number)
                    request = parse_bulletin(json.dumps(document).encode())
                    signature = sign_detached(request.octets, key, content=SUBMISSION)
                    gateway.desk.submission(request, signature).work(tx)
