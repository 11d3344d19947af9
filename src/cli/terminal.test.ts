import { expect, test } from "vitest";
import { fakeTerminal } from "./fake-terminal.fixture.ts";
import { count, counted, percent, table } from "./table.ts";
import { cells, shorten, style, visible } from "./terminal.ts";

const plain = fakeTerminal();
const narrow = fakeTerminal({ isTTY: true, columns: 40 });

test("wide characters and emoji take two columns, combining ones none, colour codes none", () => {
  expect(["abc", "猫", "ねこ", "👍🏽", "e\u0301", "\x1b[31mx\x1b[39m", "→"].map(cells)).toEqual([
    3, 2, 4, 2, 1, 1, 1,
  ]);
});

test("text is shortened in its middle to the columns there are", () => {
  expect(shorten("short", 5)).toBe("short");
  expect(shorten("/home/anna/pictures/2024/cat.jpg", 16)).toBe("/home…24/cat.jpg");
  const cut = shorten("猫猫猫猫猫猫猫猫", 9);
  expect(cells(cut)).toBeLessThanOrEqual(9);
  expect(cut).toContain("…");
});

test("control characters of file names are shown, not obeyed", () => {
  expect(visible("a\x1b[2Jb\nc\u202ed")).toBe("a\\u001b[2Jb\\u000ac\\u202ed");
  expect(visible("Ünïcödé 猫 👍🏽")).toBe("Ünïcödé 猫 👍🏽");
});

test("styles appear only where colours do", () => {
  expect(style(plain, "red", "x")).toBe("x");
  expect(style(fakeTerminal({ colour: true }), "red", "x")).toBe("\x1b[31mx\x1b[39m");
});

const columns = [
  { title: "score", align: "right" },
  { title: "picture", flexible: true },
  { title: "tag" },
] as const;

test("columns are aligned by width, numbers to the right, and nothing is cut without a terminal", () => {
  const rows = [
    ["0.9", "猫.png", "a"],
    ["10.25", `${"long/".repeat(20)}\n.png`, "b"],
  ];
  const lines = table(plain, columns, rows).split("\n");
  expect(lines[1]).toBe(`  0.9  猫.png${" ".repeat(104)}  a`);
  expect(lines[2]).toBe(`10.25  ${"long/".repeat(20)}\\u000a.png  b`);
  expect(lines).toHaveLength(4);
});

test("on a terminal the flexible column gives way", () => {
  const text = table(narrow, columns, [["0.9", "x".repeat(80), "tag"]]);
  for (const line of text.split("\n")) expect(cells(line)).toBeLessThanOrEqual(40);
  expect(text).toContain("…");
  expect(text).toMatch(/tag\n$/);
});

test("numbers are written for readers", () => {
  expect([percent(0.54116), percent(Number.NaN)]).toEqual(["54.12", "n/a"]);
  expect([count(25_010), counted(1, "picture"), counted(2000, "picture")]).toEqual([
    "25,010",
    "1 picture",
    "2,000 pictures",
  ]);
});
