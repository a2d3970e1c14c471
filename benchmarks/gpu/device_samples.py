"""Samples of how busy the GPU is and of its memory in use, by one `nvidia-smi` for the whole run."""

import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

_PAUSE_MS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """Of a stretch of time: the mean of the share in which kernels ran, its highest sample, the most memory in MiB."""

    busy_percent: float
    busiest_percent: float
    memory_mebibytes: float


class DeviceSamples:
    """Samples GPU 0 while the block runs; without a GPU it has none."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float, float]] = []
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, name="device-samples", daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
        if (program := shutil.which("nvidia-smi")) is not None:
            query = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--id=0")
            # A process a sample would initialise the driver each time, tens of milliseconds of a core.
            self._process = subprocess.Popen(
                [program, *query, f"--loop-ms={_PAUSE_MS}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
            )
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._thread.join()

    def between(self, started: float, ended: float) -> DeviceUse | None:
        """Return the use between two monotonic times; None where there is no sample."""
        chosen = [(busy, memory) for at, busy, memory in self._samples if started <= at <= ended]
        if not chosen:
            return None
        return DeviceUse(
            busy_percent=sum(busy for busy, _ in chosen) / len(chosen),
            busiest_percent=max(busy for busy, _ in chosen),
            memory_mebibytes=max(memory for _, memory in chosen),
        )

    def _read(self) -> None:
        assert self._process is not None  # noqa: S101  started just before
        assert self._process.stdout is not None  # noqa: S101  Popen was asked for a pipe
        for line in self._process.stdout:
            try:
                busy, memory = (float(value) for value in line.split(","))
            except ValueError:
                continue  # "[N/A]" where the card does not say
            self._samples.append((time.monotonic(), busy, memory))
