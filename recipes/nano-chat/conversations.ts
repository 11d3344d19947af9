import type { Rng } from "../../src/core/rng.ts";
import type { PictureColours } from "./colours.ts";

/** What is known of a picture. */
export interface PictureFacts {
  /** Below the data's folder. */
  readonly image: string;
  /** What it is called. */
  readonly name: string;
  /** All English words that it may be called by, lower case. */
  readonly words: ReadonlySet<string>;
  readonly colours: PictureColours;
}

interface Turn {
  readonly from: "human" | "gpt";
  readonly value: string;
}

/** A line of the training data. */
export interface ChatRow {
  readonly image?: string;
  readonly conversations: readonly Turn[];
}

const ASK_NAME = ["What is this?", "What do you see?", "What does the picture show?"];
const ASK_DESCRIPTION = ["Describe the picture.", "Please describe this picture.", "Describe what you see."];
const ASK_COLOURS = [
  "What colours are in the picture?",
  "Which colours does it have?",
  "What colors do you see?",
];
const ASK_MAIN_COLOUR = ["What is the main colour?", "What colour is it?", "What color is it?"];
const ASK_WHETHER = ["Is this", "Is it", "Does this show"];

/** Conversations without a picture, which otherwise would be answered as if there were one. */
const WITHOUT_PICTURE: readonly (readonly [questions: readonly string[], answer: string])[] = [
  [["Hello", "Hello!", "Hi", "Good morning"], "Hello! Show me a picture and ask what it is."],
  [
    ["Who are you?", "What are you?", "What can you do?"],
    "I am a very small model that names drawings and their colours.",
  ],
  [[...ASK_NAME, ...ASK_DESCRIPTION, ...ASK_COLOURS, ...ASK_MAIN_COLOUR], "I see no picture."],
  [["Thank you", "Thanks", "Thank you!"], "You are welcome."],
];

const pick = <T>(list: readonly T[], rng: Rng): T => list[rng.int(list.length)]!;

/** Kinds of questions about a picture. */
export type QuestionKind =
  | "name"
  | "description"
  | "colours"
  | "main colour"
  | "thing: yes or no"
  | "colour: yes or no";

/** What a question of {@link pictureRow} asks for. */
export function kindOf(question: string): QuestionKind {
  if (ASK_NAME.includes(question)) return "name";
  if (ASK_DESCRIPTION.includes(question)) return "description";
  if (ASK_COLOURS.includes(question)) return "colours";
  if (ASK_MAIN_COLOUR.includes(question)) return "main colour";
  return question.startsWith("Is there") ? "colour: yes or no" : "thing: yes or no";
}

/** A name as a sentence has it. English is richer than this rule: "a potable water" happens. */
export function withArticle(name: string): string {
  if (/^flag of /.test(name)) return `the ${name}`;
  if (/^\p{Lu}/u.test(name) || /[^su]s$/.test(name) || /^(a|an|the|two|three) /.test(name)) return name;
  return `${/^[aeiou]/i.test(name) && !/^(uni|eu|one)/.test(name) ? "an" : "a"} ${name}`;
}

/** "red", "red and white", "red, white and blue" */
export const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

/**
 * A conversation about a picture: its name and one of a description, its colours and questions to be answered by yes or
 * no (as often the one as the other), in any order. `others`: pictures whose names are asked for where the answer is no.
 */
export function pictureRow(picture: PictureFacts, others: readonly PictureFacts[], rng: Rng): ChatRow {
  const { name, colours } = picture;
  const thing = withArticle(name);
  const named: [question: string, answer: string] = [pick(ASK_NAME, rng), thing];
  const other = pick<() => [question: string, answer: string]>(
    [
      () => [pick(ASK_DESCRIPTION, rng), `${thing} in ${listed(colours.seen)}`],
      () => whether(picture, others, rng),
      () => colourQuestion(colours, rng),
    ],
    rng,
  )();
  const kept = rng.shuffle([named, other]);
  return {
    image: picture.image,
    conversations: kept.flatMap(([question, answer], i) => [
      { from: "human", value: i === 0 ? `<image>\n${question}` : question },
      { from: "gpt", value: answer },
    ]),
  };
}

/** A row without a picture. */
export function textRow(rng: Rng): ChatRow {
  const [questions, answer] = pick(WITHOUT_PICTURE, rng);
  return {
    conversations: [
      { from: "human", value: pick(questions, rng) },
      { from: "gpt", value: answer },
    ],
  };
}

function whether(picture: PictureFacts, others: readonly PictureFacts[], rng: Rng): [string, string] {
  const ask = pick(ASK_WHETHER, rng);
  const isTrue = rng.int(2) === 0;
  // A few tries: nearly every other picture is of something else.
  const other = Array.from({ length: 8 }, () => pick(others, rng)).find(
    ({ name, words }) => !picture.words.has(name.toLowerCase()) && !words.has(picture.name.toLowerCase()),
  );
  return isTrue || other === undefined
    ? [`${ask} ${withArticle(picture.name)}?`, "yes"]
    : [`${ask} ${withArticle(other.name)}?`, "no"];
}

function colourQuestion({ seen, unseen }: PictureColours, rng: Rng): [string, string] {
  const kind = rng.int(4);
  if (kind === 0) return [pick(ASK_COLOURS, rng), listed(seen)];
  if (kind === 1) return [pick(ASK_MAIN_COLOUR, rng), seen[0]!];
  const isTrue = rng.int(2) === 0 || unseen.length === 0;
  return isTrue
    ? [`Is there ${pick(seen, rng)} in it?`, "yes"]
    : [`Is there ${pick(unseen, rng)} in it?`, "no"];
}
