/** What every message of this project says: where, what was expected, what was found, what to do. */
export class InternVLError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Shapes or dtypes that do not fit an operation. A mistake in the program that builds the graph. */
export class ShapeError extends InternVLError {}

/** A file of weights that is truncated, lying, or does not fit the model. */
export class CheckpointError extends InternVLError {}

/** A configuration, recipe or manifest with missing, unknown or impossible fields. */
export class ConfigError extends InternVLError {}

/** A picture or other media file that cannot be decoded or is refused by a limit. */
export class MediaError extends InternVLError {}

/** A wrong argument on the command line or in a request. Exit code 2, status 400. */
export class UsageError extends InternVLError {}

/** A failure inside the native runtime. */
export class RuntimeFailure extends InternVLError {}

/** `true` for errors whose message is meant for the user and needs no stack. */
export function isUserError(error: unknown): error is InternVLError {
  return (
    error instanceof UsageError ||
    error instanceof ConfigError ||
    error instanceof CheckpointError ||
    error instanceof MediaError
  );
}

/** What a thrown value says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
