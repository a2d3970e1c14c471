"""Ending a worker's process: it keeps what `sys.exit` promises, and does not take its objects apart."""

import subprocess
import sys

from tests.support.waiting import LIMIT

ENDING = """
import atexit, sys, threading, weakref
from worker.process.ending import exit_with

class Library:
    def __del__(self):
        print("taken apart")

class Folder:
    pass

def work():
    working.set()
    main.join(0.1)
    print("the thread has ended")

library, folder, main, working = Library(), Folder(), threading.main_thread(), threading.Event()
weakref.finalize(folder, print, "the folder is deleted")
atexit.register(print, "what atexit has is called")
threading.Thread(target=work).start()
working.wait()
{end}(7)
"""
SAID = ["the thread has ended", "what atexit has is called", "the folder is deleted"]


def ended(end: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", ENDING.format(end=end)], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    return done.returncode, done.stdout.splitlines()


def test_a_process_ends_as_with_sys_exit_and_its_objects_are_not_taken_apart() -> None:
    assert ended("sys.exit") == (7, [*SAID, "taken apart"])
    assert ended("exit_with") == (7, SAID)
