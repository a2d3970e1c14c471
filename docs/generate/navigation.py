"""MkDocs hook: the numbered decisions stand in the navigation without being named one by one in mkdocs.yml."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Append `docs/decisions/0001-….md` and those after it to the part `Decisions`."""
    folder = Path(config["docs_dir"]) / "decisions"
    (decisions,) = (part["Decisions"] for part in config["nav"] if "Decisions" in part)
    decisions.extend(f"decisions/{page.name}" for page in sorted(folder.glob("[0-9]*.md")))
    return config
