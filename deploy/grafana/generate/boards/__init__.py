"""The dashboards, a file each, in the order of the menu."""

from typing import Final

from deploy.grafana.generate.boards import golden_signals, gpu, models, queue, slow, webhooks
from deploy.grafana.generate.layout import Board

BOARDS: Final[tuple[Board, ...]] = (
    golden_signals.BOARD,
    slow.BOARD,
    queue.BOARD,
    models.BOARD,
    gpu.BOARD,
    webhooks.BOARD,
)
