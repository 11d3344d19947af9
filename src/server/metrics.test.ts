import { expect, test } from "vitest";
import { Metrics } from "./metrics.ts";

test("the text format, with what labels may hold escaped", () => {
  const metrics = new Metrics();
  const requests = metrics.counter("requests_total", "Requests.", ["route", "status"]);
  requests.add(["/a", "200"]);
  requests.add(["/a", "200"], 2);
  requests.add(['q"\\\n', "500"]);
  metrics.gauge("waiting", "Waiting.", ["model"], () => [[["m"], 3]]);
  const seconds = metrics.histogram("seconds", "Seconds.", [], [0.1, 1]);
  for (const value of [0.1, 0.5, 7]) seconds.observe([], value);
  expect(metrics.text().split("\n")).toEqual([
    "# HELP requests_total Requests.",
    "# TYPE requests_total counter",
    'requests_total{route="/a",status="200"} 3',
    'requests_total{route="q\\"\\\\\\n",status="500"} 1',
    "# HELP waiting Waiting.",
    "# TYPE waiting gauge",
    'waiting{model="m"} 3',
    "# HELP seconds Seconds.",
    "# TYPE seconds histogram",
    'seconds_bucket{le="0.1"} 1',
    'seconds_bucket{le="1"} 2',
    'seconds_bucket{le="+Inf"} 3',
    "seconds_sum 7.6",
    "seconds_count 3",
    "",
  ]);
});
