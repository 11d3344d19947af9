import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { markerStream } from "./marker-stream.ts";
import { type Reply, replySplitter, splitReply, THINKING_SYSTEM_MESSAGE } from "./reply.ts";

/** `text` cut at the given places, taken as fractions of its length. */
function chunks(text: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map((c) => Math.floor(c * text.length)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, i) => text.slice(places[i]!, end));
}

function streamed(template: string, parts: readonly string[]): Reply {
  const splitter = replySplitter(template);
  const replies = [...parts.map((part) => splitter.push(part)), splitter.end()];
  const join = (key: keyof Reply) => replies.map((r) => r[key]).join("");
  return { thinking: join("thinking"), answer: join("answer") };
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

it("thinks by the published system message", () => {
  expect(THINKING_SYSTEM_MESSAGE).toBe(
    "You are an AI assistant that rigorously follows this response protocol:\n\n1. First, conduct a detailed analysis of the question. Consider different angles, potential solutions, and reason through the problem step-by-step. Enclose this entire thinking process within <think> and </think> tags.\n\n2. After the thinking section, provide a clear, concise, and direct answer to the user's question. Separate the answer from the think section with a newline.\n\nEnsure that the thinking process is thorough but remains focused on the query. The final answer should be standalone and not reference the thinking section.",
  );
});

describe("a thinking section", () => {
  it.each([
    ["<think>why</think>\nbecause", "why", "because"],
    ["\n<think>\nwhy  not\n\n</think>\n\nbecause\n of", "why  not", "because\n of"],
    ["<think>why", "why", ""],
    ["<think>why</thi", "why</thi", ""],
    ["<think></think>because", "", "because"],
    ["because", "", "because"],
    ["  because ", "", "  because "],
    ["a <think>b</think>", "", "a <think>b</think>"],
    ["<think>a <think> b</think>c</think>", "a <think> b", "c</think>"],
    ["</think>a", "", "</think>a"],
    ["<thin", "", "<thin"],
    [" \n", "", " \n"],
    ["", "", ""],
  ])("of %j", (text, thinking, answer) => {
    expect(splitReply("internvl2_5", text)).toEqual({ thinking, answer });
    expect(streamed("internvl2_5", Array.from(text))).toEqual({ thinking, answer });
  });

  it("shows what is certain and holds back what could be a mark", () => {
    const splitter = replySplitter("internvl2_5");
    expect(splitter.push("<th")).toEqual({ thinking: "", answer: "" });
    expect(splitter.push("ink> a < b")).toEqual({ thinking: "a < b", answer: "" });
    expect(splitter.push(" \n</")).toEqual({ thinking: "", answer: "" });
    expect(splitter.push("b")).toEqual({ thinking: " \n</b", answer: "" });
    expect(splitter.push("</think> x")).toEqual({ thinking: "", answer: "x" });
    expect(splitter.push(" <")).toEqual({ thinking: "", answer: " " });
    expect(splitter.end()).toEqual({ thinking: "", answer: "<" });
  });
});

describe("channels", () => {
  const T = "internvl3_5_gpt_oss";
  it.each([
    ["<|channel|>final<|message|>yes<|return|>", "", "yes"],
    [
      "<|channel|>analysis<|message|>hm <b><|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>no",
      "hm <b>",
      "yes",
    ],
    [
      "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c",
      "a\nb",
      "c",
    ],
    ["<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>rest", "{}", ""],
    ["<|message|>yes<|end|>", "", "yes"],
    ["yes", "", "yes"],
    ["<|channel|>final<|message|>a <|x|> <|ret", "", "a <|x|> <|ret"],
    ["<|channel|>final<|mess", "", ""],
    ["", "", ""],
  ])("of %j", (text, thinking, answer) => {
    expect(splitReply(T, text)).toEqual({ thinking, answer });
    expect(streamed(T, Array.from(text))).toEqual({ thinking, answer });
  });
});

it.each([
  ["internvl2_5", ["<think>", "</think>", "<", "think>", " ", "\n", "a", "b c"]],
  [
    "internvl3_5_gpt_oss",
    [
      "<|start|>",
      "assistant",
      "<|channel|>",
      "final",
      "analysis",
      "<|message|>",
      "<|end|>",
      "<|",
      "a ",
      "\n",
    ],
  ],
])("%s: the chunks do not matter", (template, words) => {
  const text = fc.array(fc.constantFrom(...words), { maxLength: 15 }).map((w) => w.join(""));
  fc.assert(
    fc.property(text, cuts, (whole, at) => {
      expect(streamed(template, chunks(whole, at))).toEqual(splitReply(template, whole));
    }),
  );
});

it("a stream of markers gives back all of its text", () => {
  const text = fc
    .array(fc.constantFrom("<a>", "<ab>", "<", "a", ">"), { maxLength: 20 })
    .map((w) => w.join(""));
  fc.assert(
    fc.property(text, cuts, (whole, at) => {
      const stream = markerStream(["<a>", "<ab>"]);
      const items = [...chunks(whole, at).flatMap((c) => stream.push(c)), ...stream.end()];
      expect(items.map((i) => ("text" in i ? i.text : i.marker)).join("")).toBe(whole);
      expect(items.filter((i) => "marker" in i)).toHaveLength(whole.match(/<ab?>/g)?.length ?? 0);
    }),
  );
});
