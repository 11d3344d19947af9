import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "recipes/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Native sessions use every core: more workers than cores only make the tests wait for each other.
    maxWorkers: 2,
    pool: "forks",
  },
});
