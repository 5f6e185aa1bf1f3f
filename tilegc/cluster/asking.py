"""Questions to every worker at once: each answers in time, or it is known that it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilegc.deferred import Deferred

if TYPE_CHECKING:
    import distributed
    from distributed import Client
else:
    distributed = Deferred("distributed")


__all__ = ["ANSWER_SECONDS", "ask", "is_gone"]

ANSWER_SECONDS = 30.0
"""How long a worker may take: longer than a file system that it looks at for us (`run_folder.token`)."""


def ask(client: Client, function: Callable[[], Any], seconds: float | None = None) -> dict[str, Any]:
    """Return what a function returns on each worker, by address; in its place the exception where there is none.

    Dask's own `Client.run` waits for all of them: one that is held, or behind a link that is down, keeps it
    until the scheduler drops that worker (`distributed.scheduler.worker-ttl`, five minutes).

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    function : callable
        Picklable; it runs beside the tasks, not after them.
    seconds : float, optional
        How long each may take, ANSWER_SECONDS by default. The answer of one that takes longer is a TimeoutError.
    """
    patience = ANSWER_SECONDS if seconds is None else seconds
    addresses = sorted(client.nthreads())

    async def one(address: str) -> Any:
        try:
            async with asyncio.timeout(patience):
                answers = await client.run(function, workers=[address], on_error="return")
        except TimeoutError:
            return TimeoutError(f"no answer within {patience:.0f} s")
        return answers[address]

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(one, addresses))

    return dict(zip(addresses, client.sync(all_of_them), strict=True))


def is_gone(answer: Any) -> bool:
    """Whether a worker could not be asked because it has just left: its connection is closed."""
    return isinstance(answer, distributed.comm.CommClosedError)
