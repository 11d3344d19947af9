"""llama.cpp through llama-cpp-python: the likeliest next token at each position, and how unlikely the real one was."""
import llama_cpp
import numpy
from serve import answer


def prepare(case):
    options = {"n_ctx": case["context"], "n_batch": case["context"], "n_ubatch": case["context"], "verbose": False}
    threads = {"n_threads": case["threads"], "n_threads_batch": case["threads"]}
    model = llama_cpp.Llama(case["path"], logits_all=True, **options, **threads)

    def run(request):
        ids = request["ids"]
        model.reset()
        for begin in range(0, len(ids), request["step"]):
            model.eval(ids[begin : begin + request["step"]])
        logits = numpy.asarray(model.scores[: len(ids)], dtype=numpy.float64)
        highest = logits.max(axis=1, keepdims=True)
        total = highest[:, 0] + numpy.log(numpy.exp(logits - highest).sum(axis=1))
        real = logits[numpy.arange(len(ids) - 1), ids[1:]]
        return {"likeliest": logits.argmax(axis=1).tolist(), "nats": (total[:-1] - real).tolist()}

    return run


answer(prepare, llama_cpp)
