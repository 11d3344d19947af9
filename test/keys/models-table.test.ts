import { expect, test } from "vitest";
import { type CacheShape, cacheBytes, chatMemory, tokensPerTile } from "../../src/models/chat-memory.ts";
import { PUBLISHED_CHAT_NAMES, publishedChat } from "../../src/models/published-chat.ts";
import { readKeyList } from "./key-list.ts";

const GIB = 2 ** 30;
const billions = (n: number) => (n / 1e9).toFixed(2);
const gib = (bytes: number) => (bytes / GIB).toFixed(1);

/** A row of docs/models.md, computed from the configuration and the list of tensors. */
function row(name: string): string[] {
  const { config, llm, context } = publishedChat(name)!;
  const { keys } = readKeyList(`chat/${name}`);
  const { parameters, weightBytes } = chatMemory(keys);
  const language = config.llm_config as CacheShape;
  const vision = config.vision_config as { image_size: number; patch_size: number };
  const size = (config.force_image_size as number | undefined) ?? vision.image_size;
  return [
    name,
    llm,
    billions(parameters),
    ...[weightBytes.bf16, weightBytes.w8, weightBytes.w4].map(gib),
    `${(cacheBytes(language, 1000) / 2 ** 20).toFixed(0)}`,
    `${tokensPerTile(size, vision.patch_size, 0.5)}`,
    `${context}`,
  ];
}

const HEAD = [
  "model",
  "language model",
  "10⁹ parameters",
  "bf16, GiB",
  "w8, GiB",
  "w4, GiB",
  "cache for 1,000 tokens, MiB",
  "tokens a tile",
  "trained context",
];

test("docs/models.md has the table of the published chat models", async () => {
  const github = PUBLISHED_CHAT_NAMES.filter((name) => publishedChat(name)!.format === "github");
  const rows = [HEAD, HEAD.map((_, i) => (i < 2 ? "---" : "--:")), ...github.map(row)];
  const widths = HEAD.map((_, i) => Math.max(...rows.map((r) => [...r[i]!].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells
      .map((c, i) => {
        if (/^-+:?$/.test(c)) return i < 2 ? "-".repeat(widths[i]!) : `${"-".repeat(widths[i]! - 1)}:`;
        const space = " ".repeat(widths[i]! - [...c].length);
        return i < 2 ? c + space : space + c;
      })
      .join(" | ")} |`;
  const text = `# The published chat models

Computed from the configurations (\`src/models/configs\`, whose README says which numbers are inferred) and the lists of
their tensors (\`test/keys\`): \`npx vitest run test/keys/models-table.test.ts -u\` writes this file. Weights as they are in
the files (bf16), or as \`w8\` and \`w4\` load them: linear layers in 8 bits, in \`w4\` those of the language model but for its
head in 4, and tables, norms, biases and the routers of experts in bf16; without what the runtime packs for its kernels
(about the quantised weights once more). The cache of keys and values is f32. A picture has up to 12 tiles and a thumbnail.

${rows.map(line).join("\n")}
`;
  await expect(text).toMatchFileSnapshot("../../docs/models.md");
});
