"""A TCP proxy before a broker, whose network can be cut or slowed down."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

CHUNK_BYTES = 65536


class Proxy:
    """Passes bytes between a port of the loopback interface and a Unix socket, from a thread of its own."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._delay_seconds = 0.0
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(lambda: asyncio.start_server(self._serve, "127.0.0.1", 0)).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Let no byte through, in either direction; connections stay open, as when a cable is pulled."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Let everything through at once."""
        self._delay_seconds = 0.0
        self._loop.call_soon_threadsafe(self._open.set)

    def slow_down(self, delay_seconds: float) -> None:
        """Hold back each piece of data for so long."""
        self._delay_seconds = delay_seconds

    def close(self) -> None:
        """End all connections, and the thread."""
        self._call(self._end).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_unix_connection(str(self._target))
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                far_writer.close()
        writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await asyncio.sleep(self._delay_seconds)
                await self._open.wait()
                sink.write(data)
                await sink.drain()

    def _call(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(make(), self._loop)
