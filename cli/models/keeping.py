"""Say in the registry which pictures of a model are kept to learn from."""

from pathlib import Path

from cli.home import command_line
from cli.models.registered import refusing, registered_model
from cli.registry import connect
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.domain.keep_rule import KEEP_IMAGES, parse_keep_rule


def keep(home: Path, name: str, which: str) -> None:
    """Tag a model with which of its pictures are kept; raises Refused for what is no rule. Safe to repeat."""
    try:
        rule = parse_keep_rule(which)
    except ValueError as error:
        raise Refused(f"Which pictures are kept {error}.") from None
    client = connect(home)
    model = registered_model(client, name)
    with refusing():
        client.set_registered_model_tag(model.name, KEEP_IMAGES, which)
    if rule.keeps_none:
        say(f"No pictures of {name} are kept from now on. Those that are stay until their age: see `darkroom purge`.")
        return
    say(
        f"Workers keep these pictures of {name}, where DARKROOM_KEEP_IMAGES_URL is set: {which}. "
        f"End it: {command_line(f'models keep {name} --off', home)}"
    )
