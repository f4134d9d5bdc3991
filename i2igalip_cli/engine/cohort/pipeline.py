"""Reading, translating and writing at the same time, with bounded memory."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Translated = TypeVar("Translated")
Made = TypeVar("Made")

OVERLAP = 3  # volumes in memory: one that is read, one that is translated, one that is written


def flow(
    items: Iterable[Item],
    read: Callable[[Item], Read | None],
    translate: Callable[[Read], Translated | None],
    write: Callable[[Translated], None],
    slots: int = OVERLAP,
) -> None:
    """Pass items through three steps, of which the second runs in this thread.

    A step that returns None has ended its item. An error of a step ends the flow: the others finish
    what they are at, and the rest is dropped.

    Args:
        items: In this order.
        read: First step, in a thread of its own.
        translate: Second step.
        write: Third step, in a thread of its own.
        slots: Items between the first step's beginning and the last one's end; 1 for no overlap.

    Raises:
        Exception: The first error of a step.
    """
    stream: _Stream[Read, Translated] = _Stream(slots)
    threads = [
        threading.Thread(target=stream.read_all, args=(items, read), name="reading"),
        threading.Thread(target=stream.write_all, args=(write,), name="writing"),
    ]
    for thread in threads:
        thread.start()
    try:
        stream.translate_all(translate)
    finally:
        for thread in threads:
            thread.join()
    if stream.errors:
        raise stream.errors[0]


class _Stream(Generic[Read, Translated]):
    """Three steps and what lies between them, never more than there are slots.

    No step keeps what it has passed on: a volume lives until the last one has ended it.
    """

    def __init__(self, slots: int) -> None:
        self.free = threading.Semaphore(slots)
        self.to_translate: queue.Queue[Read | None] = queue.Queue()
        self.to_write: queue.Queue[Translated | None] = queue.Queue()
        self.ended = threading.Event()
        self.errors: list[BaseException] = []

    def read_all(self, items: Iterable[Item], read: Callable[[Item], Read | None]) -> None:
        """First step."""
        try:
            for item in items:
                self.free.acquire()
                if self.ended.is_set():
                    break
                self._pass_on(read(item), self.to_translate)
        except BaseException as error:
            self._fail(error)
        finally:
            self.to_translate.put(None)

    def translate_all(self, translate: Callable[[Read], Translated | None]) -> None:
        """Second step."""
        try:
            while (found := self.to_translate.get()) is not None:
                translated = None if self.ended.is_set() else translate(found)
                del found
                self._pass_on(translated, self.to_write)
                del translated
        except BaseException as error:
            self._fail(error)
            self.free.release()  # the reader may wait for a slot
        finally:
            self.to_write.put(None)

    def write_all(self, write: Callable[[Translated], None]) -> None:
        """Third step."""
        while (translated := self.to_write.get()) is not None:
            try:
                if not self.ended.is_set():
                    write(translated)
            except BaseException as error:
                self._fail(error)
            finally:
                del translated
                self.free.release()

    def _pass_on(self, made: Made | None, to: "queue.Queue[Made | None]") -> None:
        if made is None:  # its item has ended
            self.free.release()
        else:
            to.put(made)

    def _fail(self, error: BaseException) -> None:
        self.errors.append(error)
        self.ended.set()
