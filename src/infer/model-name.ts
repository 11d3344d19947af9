import { WEIGHTS_ENDING } from "../weights/checkpoint.ts";

/** In the hub's cache a model's folder is called by its commit: …/models--OWNER--NAME/snapshots/COMMIT. */
const SNAPSHOT = /(?:^|[/\\])models--(?:[^/\\]+?--)?([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}$/;

/** What a model is called after the absolute path of its folder or file. */
export const modelNameOf = (path: string): string =>
  SNAPSHOT.exec(path)?.[1] ?? path.replace(/^.*[/\\]/, "").replace(WEIGHTS_ENDING, "");
