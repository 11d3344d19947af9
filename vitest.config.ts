import { defineConfig } from "vitest/config";

export default defineConfig({
  // The examples import "internvl" as its users do; here that is the source.
  resolve: { conditions: ["internvl-source"] },
  ssr: { resolve: { conditions: ["internvl-source"] } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "recipes/**/*.test.ts", "bench/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Native sessions use every core: more workers than cores only make the tests wait for each other.
    maxWorkers: 2,
    pool: "forks",
  },
});
