"""Runs a survey of a SunSpec map at a unit of a bus."""

import asyncio

from drivers.errors import BadAnswer, DeviceError, NoAnswer, NotAsked
from drivers.modbus.client import Client
from drivers.modbus.pdu import Request, Table
from drivers.modbus.sunspec import Survey

TRIES = 3  # of a request that nothing answers: one bad frame shall not end a survey


async def run(survey: Survey, client: Client, unit: int) -> None:
    """Ask until it is done; what ends it before is its fault. Raises `BusError`, and `DeviceError` without a map."""
    walk = survey.walk()
    asked = next(walk)
    try:
        while True:
            try:
                data = await _ask(client, Request(unit, Table.HOLDING, *asked))
            except DeviceError as error:
                asked = walk.throw(error)
            else:
                asked = walk.send(data)
    except StopIteration:
        return
    except DeviceError as error:
        if not survey.found.models:
            raise
        survey.found.fault = str(error)


async def _ask(client: Client, request: Request) -> bytes:
    """The registers; raises `BusError` or a `DeviceError`."""
    for _ in range(TRIES - 1):
        try:
            return await client.ask(request)
        except NotAsked:
            await asyncio.sleep(client.wait_s(request, 0))
        except (NoAnswer, BadAnswer):
            continue
    return await client.ask(request)
