import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** The page: src/web -> dist/web. The API is another process; `npm start` serves both. */
export default defineConfig({
  root: fileURLToPath(new URL("src/web", import.meta.url)),
  base: "/",
  build: {
    outDir: fileURLToPath(new URL("dist/web", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    // Inlined data: URLs would need a wider content security policy.
    assetsInlineLimit: 0,
    modulePreload: false,
  },
});
