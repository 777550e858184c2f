"""A request that is answered with a status other than ESME_ROK."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Why, and by which status; some refusals have a way of their own to say so.

    Attributes:
        status: command_status of the answer.
        manner: ``answer``; ``close`` or ``silence`` for a centre that says nothing.
    """

    def __init__(self, status: int, why: str, *, manner: str = "answer") -> None:
        super().__init__(why)
        self.status = status
        self.manner = manner
