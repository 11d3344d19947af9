import { ConfigError } from "../../src/core/errors.ts";
import type { Source } from "./sources.ts";

/** A picture of the gallery and where it comes from. */
export interface GalleryPicture {
  readonly path: string;
  readonly id: string;
  readonly split: string;
  readonly source: Source;
  /** Of a clip-art picture, as its file names them; else empty. */
  readonly author: string;
}

/** The notice that the MIT License asks to keep, by source. */
const COPYRIGHT: Readonly<Record<string, string>> = {
  "fluent-3d": "Copyright (c) Microsoft Corporation.",
  "flag-icons": "Copyright (c) 2013 Panayiotis Lipiridis",
};

const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

/** What the licence asks for. Throws for a source whose terms nobody has written down here. */
function termsOf(source: Source): string {
  if (source.licence === "public domain") {
    return "Dedicated to the public domain by their authors, who are named in thanks.";
  }
  const notice = COPYRIGHT[source.key];
  if (source.licence === "MIT" && notice !== undefined) return `${notice}\n\n${MIT}`;
  throw new ConfigError(
    `gallery: expected pictures of sources whose terms gallery-text.ts states, found ${source.name} ` +
      `(${source.licence}); add its notice there or choose other pictures`,
  );
}

/** gallery/LICENSES.md: a part per source with its licence, its credit and its files. */
export function licencesText(pictures: readonly GalleryPicture[]): string {
  const sources = [...new Map(pictures.map((p) => [p.source.key, p.source])).values()];
  const parts = sources.map((source) => {
    const own = pictures.filter((p) => p.source.key === source.key);
    const files = own.map((p) => `- \`${p.path}\`${p.author === "" ? "" : `: ${oneLine(p.author)}`}`);
    return [
      `## ${source.name} ${source.version}: ${source.licence}`,
      `${source.credit}. <${source.home}>`,
      termsOf(source),
      `${own.length} pictures, scaled to 256×256 on white and saved as WebP:`,
      files.join("\n"),
    ].join("\n\n");
  });
  return `${["# Licences of the gallery's pictures", ...parts].join("\n\n")}\n`;
}

/** gallery/README.md: what it is and which pictures the shipped model has seen in training. */
export function readmeText(pictures: readonly GalleryPicture[]): string {
  const of = (split: string) =>
    pictures.filter((p) => p.split === split).sort((a, b) => (a.path < b.path ? -1 : 1));
  const list = (split: string) =>
    of(split)
      .map((p) => `\`${p.path.slice(0, -5)}\``)
      .join(", ");
  const share = Math.round((100 * (pictures.length - of("train").length)) / pictures.length);
  return `# The gallery

${pictures.length} free pictures to search at first start: pictograms, clip art and flags, 256×256 WebP. Sources, authors
and licences are in [LICENSES.md](LICENSES.md). Made by \`npx tsx recipes/nano/make-gallery.ts OUT_DIR\` from
what \`recipes/nano/fetch.ts\` fetches; the choice is \`recipes/nano/gallery.json\`.

## What the nano model has seen of it

${share} % of the pictures were held out of nano's training, by the split that the recipe makes from a hash; the choice of
pictures favours them, and looks. How well search works here says how well it works on *drawings of this kind*; it says nothing
about photographs. The file names are for people: the model never reads them.

- **Concept held out** (${of("heldout-concepts").length}): of an emoji or flag no drawing by any hand was in training; a clip-art picture was
  not itself, another of its title may have been. A near thing may have been: another cat's face, an emoji of a bee beside a clip-art bee.
- **Drawing held out** (${of("heldout-drawings").length}): the concept was in training in other hands' drawings, this one was not.
- **Trained** (${of("train").length}): the picture itself was in training. Common things people will look for.

### Concept held out

${list("heldout-concepts")}

### Drawing held out

${list("heldout-drawings")}

### Trained

${list("train")}
`;
}

function oneLine(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[<>`|]/g, "")
    .trim();
}
