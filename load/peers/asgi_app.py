"""Serves the same requests as fastapi_app.py on bare ASGI, without the cost of a framework."""
from urllib.parse import parse_qs

import numpy

from numpy_tables import JSON, OCTETS, Table, describe_lookup, describe_update, print_json
from numpy_tables import read_gradients, read_ids, serve, tables


async def read_body(receive):
    message = await receive()
    if not message.get("more_body"):
        return message["body"]
    pieces = [message["body"]]
    while message.get("more_body"):
        message = await receive()
        pieces.append(message["body"])
    return b"".join(pieces)


async def answer(send, status, kind, body, *headers):
    lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send, value, status=200):
    await answer(send, status, JSON.encode(), print_json(value))


async def refuse(send, status, code):
    await answer(send, status, b"application/problem+json", print_json({"status": status, "code": code}))


async def upload(name, scope, receive, send):
    query = parse_qs(scope["query_string"].decode())
    values = numpy.empty((int(query["rows"][0]), int(query["dim"][0])), numpy.float32)
    target, filled, more = memoryview(values).cast("B"), 0, True
    while more:
        message = await receive()
        piece, more = message["body"], message.get("more_body")
        if filled + len(piece) > values.nbytes:
            return await refuse(send, 422, "SHAPE_MISMATCH")
        target[filled:filled + len(piece)] = piece
        filled += len(piece)
    if filled != values.nbytes:
        return await refuse(send, 422, "SHAPE_MISMATCH")
    tables[name] = Table(values)
    rows, dim = values.shape
    await answer_json(send, {"name": name, "version": 1, "sequence": 0, "rows": rows, "dim": dim}, 201)


async def lookup(name, table, kind, body, send):
    rows = table.gather(read_ids(kind, body))
    if rows is None:
        return await refuse(send, 422, "INDEX_OUT_OF_RANGE")
    if kind != OCTETS:
        return await answer_json(send, describe_lookup(name, table, rows))
    shape = (b"x-shape", b"%d,%d" % rows.shape)
    await answer(send, 200, OCTETS.encode(), memoryview(rows).cast("B"), shape, (b"x-dtype", b"float32"))


async def gradients(name, table, kind, body, send):
    updated = table.descend(*read_gradients(kind, body))
    if updated is None:
        return await refuse(send, 422, "SHAPE_MISMATCH")
    await answer_json(send, describe_update(name, table, updated))


VERBS = {"lookup": lookup, "gradients": gradients}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    # "", "v1", "tables", name, verb
    parts = scope["path"].split("/")
    if parts[1] == "readyz":
        return await answer_json(send, {"ready": True})
    if scope["method"] == "PUT":
        return await upload(parts[3], scope, receive, send)
    table = tables.get(parts[3])
    if table is None or parts[4] not in VERBS:
        return await refuse(send, 404, "TABLE_NOT_FOUND")
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"").decode()
    await VERBS[parts[4]](parts[3], table, kind, await read_body(receive), send)


if __name__ == "__main__":
    serve("asgi", app)
