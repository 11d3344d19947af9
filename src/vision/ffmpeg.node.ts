import { MediaError, messageOf } from "../core/errors.ts";

/** FFmpeg's libraries: what `node-av/lib` and its constants export. */
export interface Ffmpeg {
  readonly lib: typeof import("node-av/lib");
  readonly constants: typeof import("node-av/constants");
}

let loading: Promise<Ffmpeg> | undefined;

/**
 * Loads FFmpeg when the first video is opened: nothing else of this project needs it, and its package is optional
 * because it is large and not built for every platform. Throws a MediaError that says how to get it.
 */
export function loadFfmpeg(name: string): Promise<Ffmpeg> {
  loading ??= importFfmpeg();
  return loading.catch((e: unknown) => {
    loading = undefined;
    throw new MediaError(
      `${name}: expected the package node-av, which reads videos, found that it cannot be loaded on ${process.platform} ${process.arch} (${messageOf(e).split("\n")[0]}); run npm install node-av, or give pictures instead of a video`,
      { cause: e },
    );
  });
}

async function importFfmpeg(): Promise<Ffmpeg> {
  const [lib, constants] = await Promise.all([import("node-av/lib"), import("node-av/constants")]);
  // Broken videos make it write to the standard error stream of the process; what is wrong is in our errors.
  lib.Log.setLevel(constants.AV_LOG_QUIET);
  return { lib, constants };
}
