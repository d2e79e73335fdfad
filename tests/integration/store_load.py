"""A program that writes to a store as fast as it can and tells what was acknowledged.

Usage: store_load.py DIRECTORY ROUND. Every line on standard output is ``writer number revision``,
written when the commit has returned.
"""

from __future__ import annotations

import asyncio
import os
import sys

from portway.store import Compare, Put
from portway.store.sqlite import open_sqlite

WRITERS = 16


async def main(directory: str, run: str) -> None:
    """Write until killed."""
    store = await open_sqlite(directory, keep_versions={"kv/": 64})

    async def write(writer: int) -> None:
        number = last = 0
        while True:
            number += 1
            value = b"%d " % number * (1 + number * 7 % 300)
            outcome = await store.commit(
                [Compare(f"kv/{run}/a/{writer}", last)],
                [
                    Put(f"kv/{run}/a/{writer}", value),
                    Put(f"{run}/{writer}/{number}", b""),
                    Put(f"kv/{run}/b/{writer}", value),
                ],
            )
            assert outcome.succeeded
            last = outcome.revision
            os.write(1, b"%d %d %d\n" % (writer, number, last))

    await asyncio.gather(*[write(writer) for writer in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
