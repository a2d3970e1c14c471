"""Decodes one image at a time in a process of its own, which is killed if an image takes too long.

Pillow's decoders are C code: neither an exception nor a signal handler stops them, and a thread can't be killed. A
process can.

The process runs this file: `python -m worker.decode.decoder_process`. It reads requests from its standard input, writes
one answer to each to its standard output, and ends when its input ends, as it does when its parent ends in whatever
way. It has a memory limit, none of its parent's environment, and opens no file or socket.
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

from shared.domain.image import ImageSpec, Mode
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode_sized, load_upright, to_pixels
from worker.decode.sized_pixels import SizedPixels
from worker.process.allocator import keep_freed_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_REQUEST: Final = struct.Struct("<IIQ")
"""Length of the instructions (JSON), microseconds of CPU allowed, length of the image."""
_ANSWER: Final = struct.Struct("<BIIIIIQ")
"""1 for pixels, 0 for an error text; height, width, channels; the picture's width and height; length of the rest."""
_WALL_TO_CPU: Final = 30
"""CPU time is what is limited, so that no image fails on a busy machine; after so many times as long, it hangs."""
_NICENESS: Final = 5
"""So that images that decode in milliseconds get the CPU first."""
_BYTES_A_PIXEL: Final = 24
"""Memory for the image, the image with an alpha channel, a white one, their mixture, and a conversion."""
_BASE_MEMORY: Final = 1024**3
"""Address space of Python, numpy and Pillow, and the largest file."""


class DecoderProcess:
    """One decoding process, started when first needed and again after it has ended. For one thread at a time."""

    def __init__(self, *, longest: timedelta, max_pixels: int) -> None:
        self._longest = longest
        self._max_pixels = max_pixels
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, spec: ImageSpec) -> "Pixels":
        """Return what `preprocessing.decode` returns; raises Undecodable, also for an image that takes too long."""
        pixels: Pixels = self.decode_sized(data, spec).pixels
        return pixels

    def decode_sized(self, data: bytes, spec: ImageSpec | None) -> SizedPixels:
        """Return what `preprocessing.decode_sized` returns, the whole picture without a spec; raises as `decode`."""
        process = self._running() or self._start()
        hanging = threading.Timer(self._longest.total_seconds() * _WALL_TO_CPU, process.kill)
        hanging.start()
        try:
            return self._ask(process, data, spec)
        except (BrokenPipeError, EOFError):
            code = process.wait()
            self._drop(process)
            raise Undecodable(self._end_reason(code)) from None
        except Undecodable:
            raise
        except BaseException:
            # Interrupted half-way: the next answer read would be the one to this image.
            process.kill()
            process.wait()
            self._drop(process)
            raise
        finally:
            hanging.cancel()

    def decode_picture(self, data: bytes) -> "Pixels":
        """Return the whole picture, upright: (height, width, 3 or 1); raises as `decode`."""
        pixels: Pixels = self.decode_sized(data, None).pixels
        return pixels

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._drop(self._process)

    def _ask(self, process: "subprocess.Popen[bytes]", data: bytes, spec: ImageSpec | None) -> SizedPixels:
        assert process.stdin  # noqa: S101  both are pipes
        assert process.stdout  # noqa: S101
        instructions = orjson.dumps({"spec": spec and spec.as_metadata(), "max_pixels": self._max_pixels})
        microseconds = self._longest // timedelta(microseconds=1)
        process.stdin.write(_REQUEST.pack(len(instructions), microseconds, len(data)) + instructions)
        process.stdin.write(data)
        process.stdin.flush()
        good, *shape, across, down, length = _ANSWER.unpack(_read_exactly(process.stdout, _ANSWER.size))
        content = _read_exactly(process.stdout, length)
        if not good:
            raise Undecodable(content.decode())
        return SizedPixels(np.frombuffer(content, np.uint8).reshape(shape), (across, down))

    def _running(self) -> "subprocess.Popen[bytes] | None":
        """Return the process if it runs, else None; closes the pipes of one that ended between two images."""
        if self._process and self._process.poll() is not None:
            self._drop(self._process)
        return self._process

    def _start(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen(  # noqa: S603  this Python, this file
            [sys.executable, "-m", __name__, str(self._max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Where Python finds its modules, and no secret.
            env={"PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path])), "PATH": os.defpath},
        )
        return self._process

    def _drop(self, process: "subprocess.Popen[bytes]") -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                # What is still buffered has no use any more.
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process = None

    def _end_reason(self, code: int) -> str:
        """Return why the process ended while it decoded an image; `code` is its exit status."""
        seconds = self._longest.total_seconds()
        if code in (-signal.SIGPROF, -signal.SIGKILL, -signal.SIGXCPU):
            return f"decoding it took longer than {seconds:g} s and was given up"
        return "its decoder broke down over it"


def _read_exactly(file: IO[bytes], length: int) -> bytes:
    """Read `length` bytes; raises EOFError if the file ends before."""
    found = file.read(length)
    if len(found) < length:
        raise EOFError
    return found


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the input ends."""
    while head := requests.read(_REQUEST.size):
        instructions_length, microseconds, length = _REQUEST.unpack(head)
        instructions = orjson.loads(_read_exactly(requests, instructions_length))
        data = _read_exactly(requests, length)
        spec = ImageSpec.from_metadata(instructions["spec"]) if instructions["spec"] else None
        # Once this much CPU time is used the kernel ends the process, whatever C code it is in.
        signal.setitimer(signal.ITIMER_PROF, microseconds / 1e6)
        try:
            pixels, size = _decoded(data, spec, max_pixels=instructions["max_pixels"])
            answer, content = _ANSWER.pack(1, *pixels.shape, *size, pixels.nbytes), pixels.tobytes()
        except Undecodable as error:
            content = str(error).encode()
            answer = _ANSWER.pack(0, 0, 0, 0, 0, 0, len(content))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(answer + content)
        answers.flush()


def _decoded(data: bytes, spec: ImageSpec | None, *, max_pixels: int) -> SizedPixels:
    if spec is not None:
        return decode_sized(data, spec, max_pixels=max_pixels)
    picture = load_upright(data, max_pixels=max_pixels)
    mode = Mode.GREYSCALE if picture.mode == Mode.GREYSCALE else Mode.RGB
    return SizedPixels(to_pixels(picture, ImageSpec(None, None, mode=mode), max_pixels=max_pixels), picture.size)


def main() -> None:
    """Limit what this process can do, then decode."""
    # A terminal's Ctrl-C goes to the parent too, which ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    keep_freed_memory(one_arena=True)
    os.nice(_NICENESS)
    memory = _BASE_MEMORY + int(sys.argv[1]) * _BYTES_A_PIXEL
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
