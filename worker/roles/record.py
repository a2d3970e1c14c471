"""The record role (`-Q record`): writes finished predictions to Postgres and to the prediction log."""

import threading
from datetime import timedelta
from typing import Final

from shared import settings
from shared.observability.metrics import RecordMetrics
from shared.queue import bells, keys
from shared.queue.lua import Script, Scripts
from shared.storage.engine import make_engine
from shared.storage.shadow_predictions import ShadowPrediction, Stored, store_shadow_predictions
from worker.process.background_threads import PeriodicThread
from worker.process.worker_process import WorkerProcess
from worker.record.prediction_log import PredictionLog
from worker.record.record_observer import RecordObserver
from worker.record.record_tracing import RecordTracing
from worker.record.recorder import Recorder
from worker.record.shadow_recorder import AT_ONCE, ShadowRecorder

POLL: Final = timedelta(seconds=2)
"""How often the stream is read although no bell came."""
SHADOW_POLL: Final = timedelta(seconds=1)
"""How often shadows' answers are read; no bell comes for them."""


class RecordRole:
    """Records when a bell comes and every 2 s, each thread with a recorder, a consumer of the stream, of its own."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._engine = make_engine(settings.read(settings.Database))
        self._recording = settings.read(settings.Recording)
        self._recorded_ttl = settings.read(settings.Queue).recorded_ttl
        self._scripts = Scripts(process.client)
        self._messages = {keys.RECORD_QUEUE: bells.record_message(), keys.WEBHOOK_QUEUE: bells.webhook_message()}
        self._of_thread = threading.local()
        log_settings = settings.read(settings.Logging)
        predictions = PredictionLog(log_settings) if log_settings.predictions else None
        if predictions:
            process.on_close(predictions.close)
        metrics = RecordMetrics(process.registry)
        tracing = None if process.tracing is None else RecordTracing(process.tracing)
        self._observer = RecordObserver(metrics, predictions, tracing)
        self._shadows = ShadowRecorder(process.client, self._store_shadows, consumer=process.name, metrics=metrics)

    def start(self) -> None:
        """Register as a recorder and begin to poll; closed with the process."""
        sign = self._process.sign_on(keys.RECORD_QUEUE)

        def poll() -> None:
            sign.give()
            self.run_once()

        polling = PeriodicThread(poll, pause=POLL, name="record")
        polling.start()
        shadows = PeriodicThread(self._record_shadows, pause=SHADOW_POLL, name="record-shadows")
        shadows.start()
        self._process.on_close(self._engine.dispose, shadows.stop, polling.stop)

    def run_once(self, token: str | None = None) -> int:
        """Record what waits, in one commit; return how many. `token` is the bell's, None where none came."""
        return self._recorder().run_once(token)

    def _store_shadows(self, shadows: list[ShadowPrediction]) -> Stored:
        with self._engine.connect() as connection:
            return store_shadow_predictions(connection, shadows)

    def _record_shadows(self) -> None:
        """Record what shadows have answered: in a thread of its own, so that no prediction's row waits for it."""
        while self._shadows.run_once() == AT_ONCE:
            pass

    def _recorder(self) -> Recorder:
        if not hasattr(self._of_thread, "recorder"):
            self._of_thread.recorder = Recorder(
                self._process.client,
                self._engine,
                self._recording,
                consumer=f"{self._process.name}-{threading.get_ident()}",
                recorded_ttl=self._recorded_ttl,
                ring_again=lambda: self._ring(keys.RECORD_BELL, keys.RECORD_QUEUE),
                ring_courier=lambda: self._ring(keys.WEBHOOK_BELL, keys.WEBHOOK_QUEUE),
                observer=self._observer,
            )
        recorder: Recorder = self._of_thread.recorder
        return recorder

    def _ring(self, bell: str, queue: str) -> None:
        self._scripts.run(Script.RING, (bell,), queue, self._messages[queue])
