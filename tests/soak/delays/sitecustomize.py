"""Delays between the statements of Darkroom's own modules, by chance: so others see what lies in between.

Python imports this file first where its folder is in PYTHONPATH; without DARKROOM_DELAYS it does nothing. That is the
seed of the delays. A few statements are slow: each of these delays its thread by up to LONGEST seconds, the first times
that it is reached. All others do now and then. What awaits something is delayed after it had to wait for it, as it may
be where other tasks go first; nowhere else, because what a task does between two waits is done before others go on.
"""

import ast
import asyncio
import builtins
import os
import random
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

SLOW = 300
"""One statement of so many is slow, others in each process."""
LONGEST = 0.3
FIRST_TIMES = 15
ROOT = str(Path(__file__).resolve().parents[3])
DELAYED = tuple(f"{ROOT}/{folder}/" for folder in ("api", "shared", "worker"))
LEFT_OUT = tuple(f"{ROOT}/{path}" for path in ("shared/settings", "shared/image_files", "worker/decode"))
"""Read for each image or once: no other process or thread sees their states."""

chance = random.Random()
reached: dict[str, int] = {}


def draw(place: str) -> float:
    """Return for how many seconds to wait at a place now."""
    times = reached[place] = reached.get(place, 0) + 1
    if times <= FIRST_TIMES and zlib.crc32(f"{seed} {place}".encode()) % SLOW == 0:
        return chance.uniform(0.03, LONGEST)
    if chance.random() < (0.02 if times <= FIRST_TIMES else 0.0004):
        return chance.random() ** 4 * LONGEST
    return 0.0


def delay(place: str) -> None:
    """Wait before a statement."""
    if seconds := draw(place):
        time.sleep(seconds)


class Delayed:
    """Awaits another object, and waits longer where that had to wait."""

    def __init__(self, awaited: Awaitable[Any], place: str) -> None:
        self._awaited, self._place = awaited, place

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass everything on that the event loop sends, throws or closes."""
        steps = self._awaited.__await__()
        try:
            wait = steps.send(None)
        except StopIteration as end:
            return end.value  # it did not have to wait
        go_on: Callable[[], Any]
        while True:
            try:
                sent = yield wait
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  it is the awaited object's, which may handle it
                go_on = partial(steps.throw, error)
            else:
                go_on = partial(steps.send, sent)
            try:
                wait = go_on()
            except StopIteration as end:
                result = end.value
                break
        if seconds := draw(self._place):
            yield from asyncio.sleep(seconds).__await__()
        return result


class Delays(ast.NodeTransformer):
    """Adds the calls to the functions of one module."""

    def __init__(self, path: str) -> None:
        self._path = path.removeprefix(f"{ROOT}/")
        self._depth = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Go into a node; in functions, add a delay before each statement and after what is awaited."""
        within = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        self._depth += within
        super().generic_visit(node)
        if self._depth and isinstance(node, ast.Await):
            node.value = self._call("delayed_await", node.value, node.value)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if self._depth and isinstance(block, list) and not isinstance(node, ast.ClassDef):
                setattr(node, name, [part for statement in block for part in self._before(statement)])
        self._depth -= within
        return node

    def _before(self, statement: ast.stmt) -> list[ast.stmt]:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if is_text or isinstance(statement, ast.Global | ast.Nonlocal):
            return [statement]
        return [ast.copy_location(ast.Expr(self._call("delayed_statement", statement)), statement), statement]

    def _call(self, function: str, at: ast.expr | ast.stmt, *arguments: ast.expr) -> ast.Call:
        place = ast.Constant(f"{self._path}:{at.lineno} {function}")
        call = ast.Call(ast.Name(function, ast.Load()), [*arguments, place], [])
        return ast.fix_missing_locations(ast.copy_location(call, at))


def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
    """Return a module's code, with delays where it is one of Darkroom's."""
    path = loader.get_filename(name)
    if not path.startswith(DELAYED) or path.startswith(LEFT_OUT):
        return usual_get_code(loader, name)
    tree = Delays(path).visit(ast.parse(loader.get_data(path), path))
    code: CodeType = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
    return code


if "DARKROOM_DELAYS" in os.environ:
    seed = f"{os.environ['DARKROOM_DELAYS']} {' '.join(sys.orig_argv)}"
    chance.seed(seed)
    sys.setswitchinterval(1e-6)
    builtins.__dict__.update(delayed_statement=delay, delayed_await=Delayed)
    usual_get_code = SourceFileLoader.get_code
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
