"""Runs a case each time a line comes in on standard input and answers with its seconds: the other half of a pair."""
import json
import sys
import time

import torch


def serve(prepare):
    case = json.loads(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(case["threads"])
    run = prepare(case)
    run()
    run()
    print(json.dumps({"ready": True, "version": torch.__version__}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
