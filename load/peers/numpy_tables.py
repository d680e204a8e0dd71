"""Tables in NumPy for both Python servers: one gather per request, and no copy that NumPy does not force.

No durability, no versions, no schemas.
"""
import json
import socket

import numpy
import orjson
import uvicorn

OCTETS = "application/octet-stream"
JSON = "application/json"
SAFETENSORS = "application/x-safetensors"

tables = {}


class Table:
    __slots__ = ("values", "sequence", "learning_rate")

    def __init__(self, values):
        self.values = values
        self.sequence = 0
        self.learning_rate = numpy.float32(0.01)

    def holds(self, ids):
        """Whether all ids are in range."""
        # As an unsigned number a negative id is larger than any row, so one comparison finds both kinds.
        unsigned = numpy.uint32 if ids.itemsize == 4 else numpy.uint64
        return not ids.size or int(ids.view(unsigned).max()) < len(self.values)

    def gather(self, ids):
        """Rows of ids that are all in range, else None."""
        # The ids are checked already: with clip, take skips its own check and the copy that it makes for it.
        return self.values.take(ids, axis=0, mode="clip") if self.holds(ids) else None

    def descend(self, ids, gradients):
        """One SGD step; gradients of equal ids are summed first. The number of distinct rows, or None."""
        fits = gradients.shape == (ids.size, self.values.shape[1])
        if not fits or not self.holds(ids) or not numpy.isfinite(gradients).all():
            return None
        self.sequence += 1
        if not ids.size:
            return 0
        order = numpy.argsort(ids, kind="stable")
        ascending = ids[order]
        first = numpy.empty(ids.size, bool)
        first[0] = True
        numpy.not_equal(ascending[1:], ascending[:-1], out=first[1:])
        starts = numpy.flatnonzero(first)
        if starts.size < ids.size:
            ids = ascending[starts]
            gradients = numpy.add.reduceat(gradients[order], starts, axis=0)
        self.values[ids] -= self.learning_rate * gradients
        return ids.size


def print_json(value):
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def read_ids(kind, body):
    if kind == OCTETS:
        return numpy.frombuffer(body, numpy.int32)
    return numpy.array(orjson.loads(body)["indices"], numpy.int64)


def read_gradients(kind, body):
    """Ids and gradients of an update."""
    if kind == SAFETENSORS:
        tensors = read_safetensors(body)
        return tensors["indices"], tensors["gradients"]
    parsed = orjson.loads(body)
    return numpy.array(parsed["indices"], numpy.int64), numpy.array(parsed["gradients"], numpy.float32)


def read_safetensors(body):
    """Tensors of a safetensors file as views."""
    start = 8 + int.from_bytes(body[:8], "little")
    types = {"I64": numpy.int64, "F32": numpy.float32}
    whole = memoryview(body)
    return {
        name: numpy.frombuffer(
            whole[start + t["data_offsets"][0] : start + t["data_offsets"][1]], types[t["dtype"]]
        ).reshape(t["shape"])
        for name, t in json.loads(body[8:start]).items()
    }


def describe_lookup(name, table, rows):
    answer = {"table": name, "version": 1, "sequence": table.sequence, "shape": rows.shape}
    return {**answer, "dtype": "float32", "embeddings": rows}


def describe_update(name, table, updated):
    answer = {"table": name, "version": 1, "sequence": table.sequence, "rows_updated": updated}
    return {**answer, "durability": "none", "replayed": False}


def serve(name, app):
    """Answers on a free port, with uvloop and httptools where they are installed."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"{name} answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    quiet = {"log_level": "warning", "access_log": False, "date_header": False, "server_header": False}
    config = uvicorn.Config(app, ws="none", lifespan="off", **quiet)
    uvicorn.Server(config).run(sockets=[listener])
