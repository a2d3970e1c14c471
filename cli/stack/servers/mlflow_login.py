"""The login of the embedded MLflow: needed since whoever registers a model has its code run in the workers.

It is random and kept in `<home>/mlflow.env`, in the form that shells, notebooks and `docker --env-file` read, under
the names that MLflow's client knows. A password that the user writes there is kept.
"""

import base64
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from shared import settings

USERNAME: Final = "darkroom"
_FORM: Final = re.compile(r"^MLFLOW_TRACKING_(USERNAME|PASSWORD)=(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password of the registry; the password is in no repr."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Show the user name only."""
        return f"Login({self.username})"

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """Return the login kept in a home; None where there is none."""
        try:
            found = dict(_FORM.findall(login_file(home).read_text(encoding="utf-8", errors="replace")))
        except OSError:
            return None
        return cls(found.get("USERNAME", USERNAME), found["PASSWORD"]) if "PASSWORD" in found else None

    @classmethod
    def of_environment(cls) -> Self | None:
        """Return the login that MLflow's client takes from the environment; None where there is none."""
        said = settings.read(settings.RegistryLogin)
        password = said.password.get_secret_value()
        return cls(said.username, password) if password else None

    def header(self) -> str:
        """Return the value of HTTP's `Authorization` header."""
        return f"Basic {self.token()}"

    def token(self) -> str:
        """Return user name and password encoded as in RFC 7617."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that MLflow's client reads."""
        return {"MLFLOW_TRACKING_USERNAME": self.username, "MLFLOW_TRACKING_PASSWORD": self.password}


def login_file(home: Path) -> Path:
    """Return the file that keeps a home's login."""
    return home / "mlflow.env"


def keep_login(home: Path, *, url: str) -> Login:
    """Return the home's login, created if missing, and write it with `url` to its file. Safe to repeat and to kill."""
    login = Login.read(home) or Login(USERNAME, secrets.token_urlsafe(24))
    facts = {"MLFLOW_TRACKING_URI": url} | login.environment()
    text = "".join(f"{name}={value}\n" for name, value in facts.items())
    file = login_file(home)
    if not file.exists() or file.read_text(encoding="utf-8", errors="replace") != text:
        draft = file.with_suffix(".env.new")
        draft.unlink(missing_ok=True)
        with open(draft, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as writing:
            writing.write(text)
        draft.replace(file)
    file.chmod(0o600)
    return login
