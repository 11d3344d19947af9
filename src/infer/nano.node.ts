import { fileURLToPath } from "node:url";

/** Both `src/infer/` of a clone and `dist/infer/` of the package lie two folders below the root. */
const folder = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** The folder of nano, the small model for searching that comes with the package. */
export const NANO: string = folder("nano");

/** The folder of nano-chat, the small model that answers. */
export const NANO_CHAT: string = folder("nano-chat");
