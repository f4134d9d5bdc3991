"""Reading, translating and writing at the same time, with bounded memory."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Translated = TypeVar("Translated")

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
    free = threading.Semaphore(slots)
    to_translate: queue.Queue[Read | None] = queue.Queue()  # never longer than there are slots
    to_write: queue.Queue[Translated | None] = queue.Queue()
    ended = threading.Event()
    errors: list[BaseException] = []

    def fail(error: BaseException) -> None:
        errors.append(error)
        ended.set()

    def reading() -> None:
        try:
            for item in items:
                free.acquire()
                if ended.is_set():
                    break
                found = read(item)
                if found is None:
                    free.release()
                else:
                    to_translate.put(found)
                del found  # or it would live until the next one is read
        except BaseException as error:
            fail(error)
        finally:
            to_translate.put(None)

    def writing() -> None:
        while (translated := to_write.get()) is not None:
            try:
                if not ended.is_set():
                    write(translated)
            except BaseException as error:
                fail(error)
            finally:
                del translated
                free.release()

    threads = [threading.Thread(target=step, name=step.__name__) for step in (reading, writing)]
    for thread in threads:
        thread.start()
    try:
        while (found := to_translate.get()) is not None:
            translated = None if ended.is_set() else translate(found)
            del found
            if translated is None:
                free.release()
            else:
                to_write.put(translated)
            del translated
    except BaseException as error:
        fail(error)
        free.release()  # the reader may wait for a slot
    finally:
        to_write.put(None)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
