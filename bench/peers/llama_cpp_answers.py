"""llama.cpp through llama-cpp-python: plain texts are continued, greedily."""
import llama_cpp
from serve import Stopwatch, answer


def prepare(case):
    model = llama_cpp.Llama(
        case["path"],
        n_ctx=case["context"],
        n_threads=case["threads"],
        n_threads_batch=case["threads"],
        verbose=False,
    )

    def run(question):
        # Nothing is known from before.
        model.reset()
        watch = Stopwatch()
        ids = model.tokenize(question["text"].encode(), add_bos=False)
        for _ in model.generate(ids, temp=0.0):
            watch.token()
            if len(watch.times) == question["tokens"]:
                break
        return watch.answer(len(ids))

    return run


answer(prepare, llama_cpp)
