"""Drills: no text of one may say that it is real."""

from collections.abc import Mapping

from cbgateway.domain.bulletin import Bulletin, Mode
from cbgateway.domain.errors import DrillSaysRealError
from cbgateway.profiles.words import claim_to_be_real
from cbgateway.service.deployment import Deployment


def check_drill(deployment: Deployment, bulletin: Bulletin) -> None:
    """Refuse an exercise that says it is none, in any language that has words.

    People who read half of a text do not see the mark at its beginning. A gateway of mode test
    speaks to simulators, and says what a real one would.

    Raises:
        DrillSaysRealError: with the words.
    """
    if deployment.mode is Mode.EXERCISE:
        check_texts(deployment, bulletin.texts)


def check_texts(deployment: Deployment, texts: Mapping[str, str]) -> None:
    """Refuse texts of an exercise that say it is none, in any language that has words.

    Raises:
        DrillSaysRealError: with the words.
    """
    for language, text in texts.items():
        for words in deployment.words.values():
            claim = claim_to_be_real(words, text)
            if claim:
                raise DrillSaysRealError(language, claim)
