"""`cbgateway replay`: incidents that happened, told in compressed time and scored."""

from typing import Annotated

import typer

from cbgateway.cli.common import AsJson, console, examples, reports_errors
from cbgateway.cli.demo import play
from cbgateway.cli.replay_stories import STORIES
from cbgateway.domain.errors import UnknownNameError

EXAMPLES = examples(
    "cbgateway replay kt-2021",
    "cbgateway replay dup-2016 --json | jq .score",
    "cbgateway replay list",
)
LIST = "list"


@reports_errors
def replay(
    name: Annotated[str, typer.Argument(help=f"{', '.join(STORIES)}, or list.")],
    *,
    phones: Annotated[int, typer.Option(help="Phones of each carrier.", min=20, max=20_000)] = 100,
    seconds: Annotated[
        float, typer.Option(help="Seconds that the story takes.", min=5, max=3600)
    ] = 12,
    as_json: AsJson = False,
) -> None:
    """Replay an incident against simulators and score it beside what really happened.

    Time to the first notice, promises kept, seconds until a wrong message was corrected, copies
    per phone. Ends with exit code 1 if anything does not hold.
    """
    if name == LIST:
        for story in STORIES.values():
            console.print(f"[bold]{story.name}[/bold] {story.title}: {len(story.steps)} steps")
        return
    if name not in STORIES:
        raise UnknownNameError("story", name, known=tuple(STORIES))
    story = STORIES[name]
    play(story, phones=phones, seconds=seconds, port=None, picture=None, as_json=as_json)
