"""`python -m docs.generate [--check]`: write the generated pages, or exit 1 and name those that are not up to date."""

import os
import sys
from pathlib import Path

from docs.generate import alerts, commands, http, metrics, settings

FOLDER = Path(__file__).parents[1] / "reference"
PAGES = {
    "settings.md": settings.page,
    "cli.md": commands.page,
    "metrics.md": metrics.page,
    "alerts.md": alerts.page,
    "http.md": http.page,
}


def main() -> int:
    """Write or compare every page and return the exit code."""
    # The pages show defaults, whatever this shell has set.
    for name in [name for name in os.environ if name.startswith(("DARKROOM_", "MLFLOW_"))]:
        del os.environ[name]
    made = {FOLDER / name: make() for name, make in PAGES.items()}
    if "--check" not in sys.argv:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if stale:
        sys.stdout.write(f"Not up to date in docs/reference: {', '.join(stale)}. Run `make reference`.\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
