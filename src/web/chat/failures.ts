/** Why a file cannot be attached, in words for the user. */
export class AttachError extends Error {
  override readonly name = "AttachError";
}
