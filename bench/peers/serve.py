"""
The other half of a pair: reads a case as a line of JSON, then runs it for every line and answers with its seconds
(serve), or answers what each line asks for (answer).
"""
import json
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
    return f"{library.__name__} {library.__version__}"


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
