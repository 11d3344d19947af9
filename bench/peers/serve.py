"""
The other half of a pair: reads a case as a line of JSON, then runs it for every line and answers with its seconds
(serve), or answers what each line asks for (answer).
"""
import json
import os
import re
import sys
import time


def serve(prepare, library):
    run = prepare(json.loads(sys.stdin.readline()))
    run()
    run()
    say({"version": version(library)})
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        say({"seconds": time.perf_counter() - start})


def answer(prepare, library):
    run = prepare(json.loads(sys.stdin.readline()))
    say({"version": version(library)})
    for line in sys.stdin:
        say(run(json.loads(line)))


def version(library):
    name = f"{library.__name__} {library.__version__}"
    if library.__name__ != "llama_cpp":
        # What PyTorch's kernels may use of the processor, where that is limited.
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
        return f"{name} up to {limit}" if limit else name
    # What it was built for decides its speed more than its version does.
    built = re.findall(r"(AMX_INT8|AVX512_VNNI|AVX512|AVX2|NEON) = 1", library.llama_print_system_info().decode())
    return f"{name} built for {built[-1]}" if built else name


def say(what):
    print(json.dumps(what), flush=True)


class Stopwatch:
    """Notes when the tokens of an answer come."""

    def __init__(self):
        self.start, self.times = time.perf_counter(), []

    def token(self):
        self.times.append(time.perf_counter() - self.start)

    def answer(self, prompt_tokens):
        first, last = self.times[0], self.times[-1]
        return {"promptTokens": prompt_tokens, "tokens": len(self.times), "firstSeconds": first, "seconds": last}
