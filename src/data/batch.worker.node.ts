import { parentPort, workerData } from "node:worker_threads";
import { isUserError } from "../core/errors.ts";
import { BatchMaker, type BatchWork, type MadeBatch } from "./batch-maker.node.ts";

/** What the thread is asked for. */
export interface BatchRequest {
  readonly step: number;
  readonly items: Int32Array;
}

/** What it answers: a batch, or the error that ends the whole run. */
export type BatchReply =
  | { readonly batch: MadeBatch }
  /** `user`: the message is meant for the user; otherwise it is a defect, and the message is its stack. */
  | { readonly error: string; readonly user: boolean };

const port = parentPort!;
const maker = new BatchMaker(workerData as BatchWork);

port.on("message", ({ step, items }: BatchRequest) => {
  maker.make(step, items).then(
    (batch) => port.postMessage({ batch } satisfies BatchReply, [batch.pixels.buffer]),
    (e: unknown) => {
      const user = isUserError(e);
      const error = user ? e.message : e instanceof Error ? (e.stack ?? e.message) : String(e);
      port.postMessage({ error, user } satisfies BatchReply);
    },
  );
});
