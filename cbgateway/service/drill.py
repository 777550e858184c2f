"""Drills: no text of one may say that it is real."""

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
    if deployment.mode is not Mode.EXERCISE:
        return
    for language, text in bulletin.texts.items():
        for words in deployment.words.values():
            claim = claim_to_be_real(words, text)
            if claim:
                raise DrillSaysRealError(language, claim)
