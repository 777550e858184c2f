"""The words that enquiries are read by, from the profiles of languages and regions."""

from cbgateway.domain.enquiry import Command, Vocabulary, compact
from cbgateway.service.deployment import Deployment


def vocabulary_of(deployment: Deployment) -> Vocabulary:
    """Give what is understood here; of a word that two languages have, the country's own counts."""
    default = deployment.country.default_language
    languages = sorted(deployment.answering, key=lambda one: (one != default, one))
    commands: dict[str, tuple[Command, str]] = {}
    fillers: set[str] = set()
    names: dict[str, tuple[str, str]] = {}
    for language in languages:
        words = deployment.answering[language]
        fillers |= {compact(word) for word in words.fillers}
        for command, spellings in words.commands.items():
            for spelling in spellings:
                commands.setdefault(compact(spelling), (command, language))
        for code, region in deployment.regions.items():
            for name in (region.name.get(language, ""), *region.aliases.get(language, ())):
                if compact(name):
                    names.setdefault(compact(name), (code, language))
    return Vocabulary(
        commands=commands,
        regions=dict(sorted(names.items(), key=lambda item: -len(item[0]))),
        fillers=frozenset(fillers - commands.keys() - names.keys()),
        letters={one: deployment.answering[one].letters for one in languages},
    )
