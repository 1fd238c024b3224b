from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_on_one_thread(task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Run a task on all items, as many at a time as torch has threads, and each of them on one thread.

    Thousands of small operations gain nothing from being split, and lose much where the machine is busy.
    """
    threads = torch.get_num_threads()
    try:
        if threads == 1 or len(items) < 2:
            torch.set_num_threads(1)
            return [task(item) for item in items]
        with ThreadPoolExecutor(
            min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(task, items))
    finally:
        torch.set_num_threads(threads)
