"""Keeps programs running: starts them in order, restarts those that end, stops them gracefully."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from cli.stack.supervisor.endings import ending, kill_group
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.programs import (
    Program,
    log_end,
    log_environment,
    log_path,
    open_log,
    spawn_command,
    telling_line,
)
from cli.stack.supervisor.state import Phase, ProgramState
from shared.observability.log_file import cut

log = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(milliseconds=500)
# A program that was ready for this long was healthy: its next restart pauses for FIRST_PAUSE again. One that becomes
# ready and ends at once, again and again, was not.
WELL_AFTER = timedelta(seconds=2)
PROBE_PAUSE = timedelta(milliseconds=100)
LOGS_PAUSE = timedelta(seconds=5)
WATCH_PAUSE = timedelta(seconds=5)
"""Between two probes of a server that is ready."""
MISSES = 2
"""Probes in a row that a server misses before it counts as failing: one alone may be a busy moment."""


class Supervisor:
    """Runs `programs` until `stop`; calls `changed` with all states at every change.

    `environment` is every program's. The pauses between starts double from FIRST_PAUSE to the program's longest;
    they start over after a program was healthy, and at `hurry`. `changed` must not raise.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        *,
        home: Path,
        environment: dict[str, str],
        changed: Callable[[list[ProgramState], bool], None],
    ) -> None:
        self._home = home
        self._environment = environment
        self._changed = changed
        self._kept = {program.name: _Kept(program) for program in programs}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start everything; return when all has stopped after `stop`."""
        self._tell()
        keeping = [asyncio.create_task(self._keep(kept)) for kept in self._kept.values()]
        for task in keeping:
            task.add_done_callback(self._stop_at_fault)
        bounding = asyncio.create_task(self._bound_logs())
        await self._stopping.wait()
        await self._stop_in_order()
        for task in (*keeping, bounding):
            task.cancel()
        await asyncio.gather(*keeping, bounding, return_exceptions=True)

    def stop(self) -> None:
        """Start stopping everything. Safe to repeat."""
        self._stopping.set()
        self.hurry()

    def hurry(self) -> None:
        """Restart at once every program that is pausing, since what made it fail is over. Safe to repeat."""
        for kept in self._kept.values():
            kept.hurried.set()

    def _stop_at_fault(self, task: "asyncio.Task[None]") -> None:
        """Stop everything at a fault of the supervisor itself: an incomplete stack must not pass for a complete one."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("fault", exc_info=error)
            self.stop()

    async def _bound_logs(self) -> None:
        """Cut the logs of programs that can't bound them, whenever one is full."""
        logs = [log_path(self._home, one.program.role) for one in self._kept.values() if one.program.has_log_cut]
        while logs:
            await asyncio.sleep(LOGS_PAUSE.total_seconds())
            for path in logs:
                with contextlib.suppress(OSError):  # no room is left for a copy: it grows on
                    await asyncio.to_thread(cut, path)

    async def _keep(self, kept: "_Kept") -> None:
        """Start a program, again each time it ends; a step until it exits 0."""
        for name in kept.program.after:
            await self._kept[name].was_ready.wait()
        if not kept.program.command:
            await self._become_ready(kept, pid=0)
            return
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            kept.ready_since, kept.ended_at = None, None
            how = await self._live_once(kept)
            if self._stopping.is_set() or kept.state.phase is Phase.READY:
                return
            if kept.was_well():
                pause = FIRST_PAUSE
            log.warning("ended", extra={"program": kept.program.name, "how": how, "pause_s": pause.total_seconds()})
            pause = FIRST_PAUSE if await kept.hurried_within(pause) else min(pause * 2, kept.program.longest_pause)

    async def _live_once(self, kept: "_Kept") -> str:
        """Start the program once and wait for its end; return how it ended. A step that exited 0 stays READY."""
        program, state = kept.program, kept.state
        async with kept.starting:
            try:
                if program.prepare is not None:
                    await asyncio.to_thread(program.prepare)
                if self._stopping.is_set():
                    return "not started"
                kept.log_begin = log_end(self._home, program.role)
                process = kept.process = await self._spawn(program)
            except (OSError, RuntimeError) as error:
                return self._crashed(kept, str(error))
        state.process = ProcessIdentity.of_child(process.pid)
        self._move(kept, Phase.STARTING)
        readiness = None if program.once else asyncio.create_task(self._become_ready(kept, pid=process.pid))
        code = await process.wait()
        kill_group(process.pid)
        kept.ended_at = time.monotonic()
        if readiness is not None:
            readiness.cancel()
        kept.process, state.process = None, None
        if program.once and code == 0:
            self._ready(kept)
            return "done"
        return self._crashed(kept, ending(code))

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        """Start the process from this thread: with prctl the kernel ends it when the *thread* that started it dies."""
        with open_log(self._home, program.role) as output:
            return await asyncio.create_subprocess_exec(
                *spawn_command(program, parent=os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                # Not the user's current directory: a module there could shadow Darkroom's.
                cwd=self._home,
                env=self.environment_of(program),
            )

    def environment_of(self, program: Program) -> dict[str, str]:
        """Return a program's whole environment."""
        return self._environment | program.environment | log_environment(self._home, program.role)

    async def _become_ready(self, kept: "_Kept", *, pid: int) -> None:
        """Probe until the program is ready; meanwhile its state shows why it is not."""
        self._move(kept, Phase.STARTING)
        while why_not := await _why_not(kept.program, pid):
            self._move(kept, Phase.STARTING, why_not)
            await asyncio.sleep(PROBE_PAUSE.total_seconds())
        self._ready(kept)
        if kept.program.is_watched:
            await self._watch(kept, pid=pid)

    async def _watch(self, kept: "_Kept", *, pid: int) -> None:
        """Probe a server that was ready for as long as it runs, and show when it fails; nothing is restarted.

        Whoever hangs may hold what others have to write: an operator decides.
        """
        missed = 0
        while True:
            await asyncio.sleep(WATCH_PAUSE.total_seconds())
            why_not = await _why_not(kept.program, pid)
            if self._stopping.is_set():
                return
            missed = missed + 1 if why_not else 0
            if missed == MISSES:
                log.warning("not_answering", extra={"program": kept.program.name, "reason": why_not})
            if missed >= MISSES:
                self._move(kept, Phase.FAILING, why_not)
            elif not missed and kept.state.phase is Phase.FAILING:
                log.info("answers_again", extra={"program": kept.program.name})
                self._move(kept, Phase.READY)

    async def _stop_in_order(self) -> None:
        """Stop rank after rank: programs that take work first, the servers they need last."""
        self._tell()
        running = sorted(self._kept.values(), key=lambda kept: kept.program.stop_rank)
        for _, rank in groupby(running, key=lambda kept: kept.program.stop_rank):
            await asyncio.gather(*(self._end(kept) for kept in rank))

    async def _end(self, kept: "_Kept") -> None:
        """Send one program its stop signal, and SIGKILL after its patience."""
        # Wait for a start in progress: afterwards the process runs or never will.
        async with kept.starting:
            process = kept.process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(kept.program.stop_signal)
            # One that is suspended would take no signal, and be killed after its patience.
            process.send_signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(process.wait(), kept.program.stop_patience.total_seconds())
        except TimeoutError:
            log.warning("killed", extra={"program": kept.program.name})
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
        kill_group(process.pid)
        self._move(kept, Phase.STOPPED)

    def _ready(self, kept: "_Kept") -> None:
        kept.state.crashes = 0
        kept.was_ready.set()
        kept.ready_since = time.monotonic()
        log.info("ready", extra={"program": kept.program.name})
        self._move(kept, Phase.READY)

    def _crashed(self, kept: "_Kept", how: str) -> str:
        if not self._stopping.is_set():
            kept.state.crashes += 1
            said = telling_line(self._home, kept.program.role, since=kept.log_begin)
            kept.state.phase = Phase.CRASHED
            kept.state.detail = f"{how}; it said: {said}" if said else how
            self._tell()  # unlike `_move`, also where only the count has changed
        return how

    def _move(self, kept: "_Kept", phase: Phase, detail: str = "") -> None:
        if (kept.state.phase, kept.state.detail) != (phase, detail):
            kept.state.phase, kept.state.detail = phase, detail
            self._tell()

    def _tell(self) -> None:
        self._changed([kept.state for kept in self._kept.values()], self._stopping.is_set())


class _Kept:
    """One program with its state and its process."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.state = ProgramState(
            name=program.name,
            role=program.role,
            url=program.url,
            metrics_url=program.metrics_url,
            login_file=program.login_file,
        )
        self.was_ready = asyncio.Event()
        self.starting = asyncio.Lock()
        self.process: asyncio.subprocess.Process | None = None
        self.log_begin = 0
        """Where in the log the output of the process that runs begins."""
        self.ready_since: float | None = None
        self.ended_at: float | None = None
        self.hurried = asyncio.Event()

    def was_well(self) -> bool:
        """Whether the process that ended last was ready for longer than WELL_AFTER."""
        if self.ready_since is None or self.ended_at is None:
            return False
        return self.ended_at - self.ready_since > WELL_AFTER.total_seconds()

    async def hurried_within(self, pause: timedelta) -> bool:
        """Wait for the pause; True where `hurry` cut it short."""
        self.hurried.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hurried.wait(), pause.total_seconds())
        return self.hurried.is_set()


async def _why_not(program: Program, pid: int) -> str:
    """Ask a program's probe; return why it is not ready, and an empty string where it is or has no probe."""
    if program.probe is None:
        return ""
    try:
        return await asyncio.to_thread(program.probe, pid)
    except Exception as error:  # noqa: BLE001  whatever the client library raises, its server is not ready
        return f"{type(error).__name__}: {error}"
