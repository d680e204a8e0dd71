"""The same lookups and updates as a small FastAPI application over NumPy: what a day's work gives.

No durability, no versions, no schemas. Binary bodies bypass pydantic, JSON goes through orjson straight from the array.
Prints its address once it listens.
"""
import json
import socket

import numpy
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI(openapi_url=None)
tables = {}


class Table:
    def __init__(self, values):
        self.values = values
        self.sequence = 0
        self.learning_rate = numpy.float32(0.01)

    def gather(self, ids):
        """Rows of ids that are all in range, else None."""
        # Seen as unsigned, a negative id is larger than any row: one comparison finds both kinds.
        if ids.size and int(ids.view(f"u{ids.itemsize}").max()) >= len(self.values):
            return None
        return numpy.take(self.values, ids, axis=0, mode="clip")

    def descend(self, ids, gradients):
        """One SGD step; gradients of equal ids are summed first. The number of distinct rows, or None."""
        if ids.size and int(ids.view(f"u{ids.itemsize}").max()) >= len(self.values):
            return None
        if not numpy.isfinite(gradients).all():
            return None
        order = numpy.argsort(ids, kind="stable")
        ascending = ids[order]
        starts = numpy.flatnonzero(numpy.concatenate(([True], ascending[1:] != ascending[:-1]))) if ids.size else order
        if starts.size == ids.size:
            rows = ids
        else:
            rows = ascending[starts]
            gradients = numpy.add.reduceat(gradients[order], starts, axis=0)
        self.values[rows] -= self.learning_rate * gradients
        self.sequence += 1
        return rows.size


def refuse(status, code):
    return Response(orjson.dumps({"status": status, "code": code}), status, media_type="application/problem+json")


def answer(value, status=200):
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


def read_safetensors(body):
    """Tensors of a safetensors file as views."""
    start = 8 + int.from_bytes(body[:8], "little")
    types = {"I64": numpy.int64, "F32": numpy.float32}
    return {
        name: numpy.frombuffer(body[start + t["data_offsets"][0]:start + t["data_offsets"][1]], types[t["dtype"]]).reshape(t["shape"])
        for name, t in json.loads(body[8:start]).items()
    }


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


@app.get("/v1/tables/{name}")
async def describe(name: str):
    table = tables.get(name)
    if table is None:
        return refuse(404, "TABLE_NOT_FOUND")
    return answer({"name": name, "version": 1, "sequence": table.sequence, "rows": len(table.values), "dim": table.values.shape[1]})


@app.post("/v1/tables/{name}/lookup")
async def lookup(name: str, request: Request):
    table = tables.get(name)
    if table is None:
        return refuse(404, "TABLE_NOT_FOUND")
    body = await request.body()
    binary = request.headers.get("content-type") == "application/octet-stream"
    ids = numpy.frombuffer(body, numpy.int32) if binary else numpy.array(orjson.loads(body)["indices"], numpy.int64)
    rows = table.gather(ids)
    if rows is None:
        return refuse(422, "INDEX_OUT_OF_RANGE")
    if binary:
        shape = f"{rows.shape[0]},{rows.shape[1]}"
        return Response(memoryview(rows).cast("B"), media_type="application/octet-stream", headers={"X-Shape": shape, "X-Dtype": "float32"})
    return answer({"table": name, "version": 1, "sequence": table.sequence, "shape": rows.shape, "dtype": "float32", "embeddings": rows})


@app.post("/v1/tables/{name}/gradients")
async def gradients(name: str, request: Request):
    table = tables.get(name)
    if table is None:
        return refuse(404, "TABLE_NOT_FOUND")
    body = await request.body()
    if request.headers.get("content-type") == "application/x-safetensors":
        tensors = read_safetensors(body)
        ids, values = tensors["indices"], tensors["gradients"]
    else:
        parsed = orjson.loads(body)
        ids, values = numpy.array(parsed["indices"], numpy.int64), numpy.array(parsed["gradients"], numpy.float32)
    if values.shape != (ids.size, table.values.shape[1]):
        return refuse(422, "SHAPE_MISMATCH")
    updated = table.descend(ids, values)
    if updated is None:
        return refuse(422, "INDEX_OUT_OF_RANGE")
    return answer({"table": name, "version": 1, "sequence": table.sequence, "rows_updated": updated, "durability": "none", "replayed": False})


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"fastapi answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, date_header=False)).run(sockets=[listener])
