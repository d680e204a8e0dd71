"""The same lookups and updates as a small FastAPI application over NumPy: the result of a day's work.

Binary bodies bypass pydantic; orjson prints JSON straight from the array. The program prints its address
once it listens.
"""
import numpy
from fastapi import FastAPI, Request, Response

from numpy_tables import JSON, OCTETS, Table, describe_lookup, describe_update, print_json
from numpy_tables import read_gradients, read_ids, serve, tables

app = FastAPI(openapi_url=None)


def refuse(status, code):
    body = print_json({"status": status, "code": code})
    return Response(body, status, media_type="application/problem+json")


def answer(value, status=200):
    return Response(print_json(value), status, media_type=JSON)


@app.get("/readyz")
async def ready():
    return answer({"ready": True})


@app.put("/v1/tables/{name}")
async def upload(name: str, rows: int, dim: int, request: Request):
    values = numpy.empty((rows, dim), numpy.float32)
    target, filled = memoryview(values).cast("B"), 0
    async for piece in request.stream():
        if filled + len(piece) > values.nbytes:
            return refuse(422, "SHAPE_MISMATCH")
        target[filled:filled + len(piece)] = piece
        filled += len(piece)
    if filled != values.nbytes:
        return refuse(422, "SHAPE_MISMATCH")
    tables[name] = Table(values)
    return answer({"name": name, "version": 1, "sequence": 0, "rows": rows, "dim": dim}, 201)


@app.post("/v1/tables/{name}/lookup")
async def lookup(name: str, request: Request):
    table = tables.get(name)
    if table is None:
        return refuse(404, "TABLE_NOT_FOUND")
    body = await request.body()
    kind = request.headers.get("content-type")
    rows = table.gather(read_ids(kind, body))
    if rows is None:
        return refuse(422, "INDEX_OUT_OF_RANGE")
    if kind == OCTETS:
        headers = {"X-Shape": f"{rows.shape[0]},{rows.shape[1]}", "X-Dtype": "float32"}
        return Response(memoryview(rows).cast("B"), media_type=OCTETS, headers=headers)
    return answer(describe_lookup(name, table, rows))


@app.post("/v1/tables/{name}/gradients")
async def gradients(name: str, request: Request):
    table = tables.get(name)
    if table is None:
        return refuse(404, "TABLE_NOT_FOUND")
    updated = table.descend(*read_gradients(request.headers.get("content-type"), await request.body()))
    return refuse(422, "SHAPE_MISMATCH") if updated is None else answer(describe_update(name, table, updated))


if __name__ == "__main__":
    serve("fastapi", app)
