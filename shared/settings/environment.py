"""Reads settings from the environment. An invalid value stops the process with one line that names the variable."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from pydantic_settings import SettingsError as UnreadableSetting


class SettingsError(SystemExit):
    """A setting has a value that can't be used; the message is the one line that the process prints as it exits."""


S = TypeVar("S", bound=BaseSettings)

_PREFIX: Final = "DARKROOM_"
_ALIKE: Final = 0.88
"""How alike two names are at least, of 1: two letters in the wrong order, one too many, a missing S."""


def every_class() -> list[type[BaseSettings]]:
    """Return every class of settings."""
    found = BaseSettings.__subclasses__()
    return [one for one in found if str(one.model_config.get("env_prefix", "")).startswith(_PREFIX)]


def misspelled(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that are no setting and resemble one, with the one that they resemble.

    A name that resembles none is somebody else's: Compose has some, and so may whoever runs Darkroom.
    """
    known = {
        f"{one.model_config.get('env_prefix', '')}{field}".upper()
        for one in every_class()
        for field in one.model_fields
    }
    unknown = sorted(name for name in names if name.startswith(_PREFIX) and name not in known)
    resembled = {name: get_close_matches(name, known, n=1, cutoff=_ALIKE) for name in unknown}
    return {name: alike[0] for name, alike in resembled.items() if alike}


def read(settings: type[S]) -> S:
    """Read one class from the environment; raises SettingsError with one line that names the variable."""
    try:
        return settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"{settings.model_config.get('env_prefix', '')}{first['loc'][0]}".upper()
        # A URL may hold a password.
        shown = "" if variable.endswith("_URL") else f" (it is {first['input']!r})"
        raise SettingsError(f"{variable}: {first['msg']}{shown}") from None
    except UnreadableSetting as error:
        # Its message names the field and not what is wrong with the value.
        field = re.search(r'field "(\w+)"', str(error))
        variable = f"{settings.model_config.get('env_prefix', '')}{field[1] if field else ''}".upper()
        raise SettingsError(f"{variable}: it must be JSON (it is {os.environ.get(variable)!r})") from None
