"""`python -m deploy.grafana.generate [--check]`: write the dashboards, or exit 1 and name those not up to date."""

import sys
from pathlib import Path

from deploy.grafana.generate.boards import BOARDS
from deploy.grafana.generate.layout import text

FOLDER = Path(__file__).parents[1] / "dashboards"


def main() -> int:
    """Write or compare every dashboard and return the exit code."""
    made = {FOLDER / f"{board.name}.json": text(board) for board in BOARDS}
    if "--check" not in sys.argv:
        for path, content in made.items():
            path.write_text(content, encoding="utf-8")
        return 0
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    stale = sorted(path.name for path in {*made, *there} if made.get(path) != there.get(path))
    if stale:
        sys.stdout.write(f"Not up to date in deploy/grafana/dashboards: {', '.join(stale)}. Run `make dashboards`.\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
