"""The nearest of many embeddings: a matrix-vector product and a partial sort in memory."""
import numpy
from serve import serve


def prepare(case):
    rng = numpy.random.default_rng(0)
    table = rng.standard_normal((case["rows"], case["width"]), dtype=numpy.float32)
    table /= numpy.linalg.norm(table, axis=1, keepdims=True)
    queries = table[: case["queries"]]
    k = case["count"]

    def run():
        for query in queries:
            scores = table @ query
            best = numpy.argpartition(-scores, k)[:k]
            best[numpy.argsort(-scores[best])]

    return run


serve(prepare, numpy)
