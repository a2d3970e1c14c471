"""Decode one image at a time in a process of its own, which is ended where it takes too long.

Decoders are C: neither an exception nor a signal handler stops them, and a thread can't be killed. A process can.

The process is this file, run by `python -m worker.decode.decoder_process`. It reads one request after another from its
standard input, writes one answer each to its standard output, and ends with its input: when its parent ends, however
that happens, at the latest after the image in hand. It has a limit of memory, none of its parent's environment, and
opens no file or socket.
"""

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np
import orjson

from shared.domain.image import ImageSpec
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_REQUEST: Final = struct.Struct("<IIQ")
"""Length of the instructions (JSON), microseconds of CPU allowed, length of the image."""
_ANSWER: Final = struct.Struct("<BIIIQ")
"""1 for pixels, 0 for words; height, width, channels; length of what follows."""
_WALL_TIMES: Final = 30
"""The bound is CPU time, so that a busy machine fails no image; a process that takes so many times as long hangs."""
_NICER: Final = 5
"""Images that are decoded in milliseconds come first."""
_BYTES_A_PIXEL: Final = 24
"""The image, the image with an alpha channel, a white one, their mixture, and what is on the way between two."""
_BASE_MEMORY: Final = 1024**3
"""Address space of Python, numpy and Pillow, and the largest file."""


class DecoderProcess:
    """One process that decodes, started when it is first needed and again after each end. One thread's at a time."""

    def __init__(self, *, longest: timedelta, max_pixels: int) -> None:
        self._longest = longest
        self._max_pixels = max_pixels
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, spec: ImageSpec) -> "Pixels":
        """Return what `preprocessing.decode` returns; raises Undecodable, also for an image that takes too long."""
        process = self._running() or self._start()
        hanging = threading.Timer(self._longest.total_seconds() * _WALL_TIMES, process.kill)
        hanging.start()
        try:
            return self._ask(process, data, spec)
        except (BrokenPipeError, EOFError):
            code = process.wait()
            self._drop(process)
            raise Undecodable(self._why(code)) from None
        except Undecodable:
            raise
        except BaseException:
            # Interrupted half-way: what it would say next is the answer to something else.
            process.kill()
            process.wait()
            self._drop(process)
            raise
        finally:
            hanging.cancel()

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._drop(self._process)

    def _ask(self, process: "subprocess.Popen[bytes]", data: bytes, spec: ImageSpec) -> "Pixels":
        assert process.stdin  # noqa: S101  both are pipes
        assert process.stdout  # noqa: S101
        instructions = orjson.dumps({"spec": spec.as_metadata(), "max_pixels": self._max_pixels})
        microseconds = self._longest // timedelta(microseconds=1)
        process.stdin.write(_REQUEST.pack(len(instructions), microseconds, len(data)) + instructions)
        process.stdin.write(data)
        process.stdin.flush()
        good, *shape, length = _ANSWER.unpack(_exactly(process.stdout, _ANSWER.size))
        content = _exactly(process.stdout, length)
        if not good:
            raise Undecodable(content.decode())
        return np.frombuffer(content, np.uint8).reshape(shape)

    def _running(self) -> "subprocess.Popen[bytes] | None":
        """Return the process, or None where there is none; one that ended between two images leaves no pipe open."""
        if self._process and self._process.poll() is not None:
            self._drop(self._process)
        return self._process

    def _start(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen(  # noqa: S603  this Python, this file
            [sys.executable, "-m", __name__, str(self._max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Its own prefix for Python's modules, and no secret.
            env={"PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path])), "PATH": os.defpath},
        )
        return self._process

    def _drop(self, process: "subprocess.Popen[bytes]") -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                # What was not yet written to it is of no use any more.
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process = None

    def _why(self, code: int) -> str:
        """Say why the process ended over an image."""
        seconds = self._longest.total_seconds()
        if code in (-signal.SIGPROF, -signal.SIGKILL, -signal.SIGXCPU):
            return f"decoding it took longer than {seconds:g} s and was given up"
        return "its decoder broke down over it"


def _exactly(file: IO[bytes], length: int) -> bytes:
    """Read so many bytes; raises EOFError where the file ends before."""
    found = file.read(length)
    if len(found) < length:
        raise EOFError
    return found


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while head := requests.read(_REQUEST.size):
        instructions_length, microseconds, length = _REQUEST.unpack(head)
        instructions = orjson.loads(_exactly(requests, instructions_length))
        data = _exactly(requests, length)
        spec = ImageSpec.from_metadata(instructions["spec"])
        # Once this much CPU is used the kernel ends the process, whatever C code it is in.
        signal.setitimer(signal.ITIMER_PROF, microseconds / 1e6)
        try:
            pixels = decode(data, spec, max_pixels=instructions["max_pixels"])
            answer, content = _ANSWER.pack(1, *pixels.shape, pixels.nbytes), pixels.tobytes()
        except Undecodable as error:
            content = str(error).encode()
            answer = _ANSWER.pack(0, 0, 0, 0, len(content))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(answer + content)
        answers.flush()


def main() -> None:
    """Take the process for one that decodes, and nothing else."""
    # A terminal's Ctrl-C goes to the parent as well, which stops this one by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    os.nice(_NICER)
    memory = _BASE_MEMORY + int(sys.argv[1]) * _BYTES_A_PIXEL
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
