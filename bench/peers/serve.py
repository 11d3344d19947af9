"""The other half of a pair: reads a case as a line of JSON, then runs it for every line and answers with its seconds."""
import json
import sys
import time


def serve(prepare, library):
    run = prepare(json.loads(sys.stdin.readline()))
    run()
    run()
    version = f"{library.__name__} {library.__version__}"
    print(json.dumps({"ready": True, "version": version}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
