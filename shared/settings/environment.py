"""Reads settings from the environment. An invalid value stops the process with one line that names the variable."""

import os
import re
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from pydantic_settings import SettingsError as UnreadableSetting


class SettingsError(SystemExit):
    """A setting has a value that can't be used; the message is the one line that the process prints as it exits."""


S = TypeVar("S", bound=BaseSettings)


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
