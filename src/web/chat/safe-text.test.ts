import { expect, test } from "vitest";
import { decodeReferences, safeHref } from "./safe-text.ts";

test.each([
  ["https://example.org/a?b=1#c", true],
  ["HTTP://example.org", true],
  ["mailto:a@b.org", true],
  ["javascript:alert(1)", false],
  ["JavaScript:alert(1)", false],
  [" javascript:alert(1)", false],
  ["java\tscript:alert(1)", false],
  ["https://a\n.org", false],
  ["data:text/html,x", false],
  ["vbscript:x", false],
  ["/api/folders", false],
  ["//evil.example", false],
  ["https://", false],
])("following %j: %s", (href, safe) => {
  expect(safeHref(href)).toBe(safe ? href : undefined);
});

test("references become the characters that they mean, once", () => {
  expect(decodeReferences("&lt;b&gt; &amp;lt; &#65;&#x42; &unknown; &#0; &#xD800; &#x110000; AT&T")).toBe(
    "<b> &lt; AB &unknown; \ufffd \ufffd \ufffd AT&T",
  );
});
