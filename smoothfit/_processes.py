"""Work shared among processes that end with the call: on Ctrl-C, on an error, and when one of them is killed."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

from .errors import ResourceError

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_FAILED = 0.2  # of the draws of a bootstrap
OF_DRAW = 300  # bytes of the objects of a draw
LONGEST_WAIT = 10.0  # seconds until a process that was killed must have ended


class Worker(NamedTuple):
    """A process and the connection to it."""

    process: Any
    connection: Connection


def in_processes(work: Callable[[Any, Item], Result], shared: Any, items: Iterable[Item], n_jobs: int) -> Generator[Result]:
    """Yield work(shared, item) of each item, in order, computed by n_jobs processes, or here if n_jobs is one.

    `shared` is sent once. The processes are killed as soon as the iterator ends, whatever ends it.

    Raises
    ------
    ResourceError
        A process was killed.
    """
    if n_jobs == 1:
        yield from (work(shared, item) for item in items)
        return
    workers = []
    try:
        for _ in range(n_jobs):
            workers.append(_started(work, shared))
        yield from _results(workers, iter(items))
    except OSError as error:  # no more processes, or no more pipes
        raise ResourceError(f"n_jobs is {n_jobs}, and the system refuses: {error}; pass fewer") from error
    finally:
        for worker in workers:
            worker.process.kill()
            worker.connection.close()
        for worker in workers:
            worker.process.join(LONGEST_WAIT)


def _started(work: Callable[[Any, Item], Result], shared: Any) -> Worker:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs, work, shared), daemon=True)
    try:
        process.start()
    except BaseException:
        mine.close()
        raise
    finally:
        theirs.close()  # of this process; so an ended worker is an ended connection
    return Worker(process, mine)


def _results(workers: list[Worker], items: Iterator[Any]) -> Iterator[Any]:
    """Give each worker one item at a time; yield the results in the order of the items."""
    sent, due = 0, 0
    busy: dict[Connection, int] = {}
    early: dict[int, Any] = {}

    def give(connection: Connection) -> None:
        nonlocal sent
        for item in items:
            try:
                connection.send(item)
            except ConnectionError:
                raise _killed() from None
            busy[connection] = sent
            sent += 1
            return

    for worker in workers:
        give(worker.connection)
    while busy:
        for connection in wait(list(busy)):
            assert isinstance(connection, Connection)
            early[busy.pop(connection)] = _received(connection)
            give(connection)
        while due in early:
            yield early.pop(due)
            due += 1


def _received(connection: Connection) -> Any:
    try:
        result, error = connection.recv()
    except (EOFError, ConnectionError):
        raise _killed() from None
    if error is not None:
        raise error
    return result


def _killed() -> ResourceError:
    return ResourceError("a process of n_jobs was killed, as systems do when memory runs out; pass a smaller n_jobs")


def _serve(connection: Connection, work: Callable[[Any, Any], Any], shared: Any) -> None:
    """Run in a process: answer items until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one sees to it
    while True:
        try:
            item = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            connection.send((work(shared, item), None))
        except Exception as error:
            connection.send((None, error))
