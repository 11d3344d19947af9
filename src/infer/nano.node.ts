import { fileURLToPath } from "node:url";

/**
 * The folder of nano, the small model that comes with the package. Both `src/infer/` of a clone and `dist/infer/` of
 * the package lie two folders below the root.
 */
export const NANO: string = fileURLToPath(new URL("../../nano", import.meta.url));
