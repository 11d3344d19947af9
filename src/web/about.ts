import { byId, fillDialog, h, openModal, sheetHead } from "./dom.ts";

const KEYS: readonly (readonly [key: string, what: string])[] = [
  ["/", "go to the search box, or to your question"],
  ["↓", "from the search box to the pictures"],
  ["← → ↑ ↓", "move between pictures"],
  ["Enter", "open a picture"],
  ["← →", "previous and next, in the large view"],
  ["Enter", "send a question; with Shift a new line"],
  ["Esc", "close, or stop an answer"],
];

/** What may be expected of the model that is loaded, and the keys. */
export function openAbout(model: { readonly name: string; readonly shipped: boolean } | undefined): void {
  const dialog = byId<HTMLDialogElement>("about");
  fillDialog(
    dialog,
    sheetHead(dialog, "about-title", "About this search"),
    ...(model?.shipped === false ? otherModel(model.name) : shippedModel()),
    h("h3", { text: "The numbers" }),
    h("p", {
      text: "Words and pictures become points in one space; the score is the cosine of the angle between them. It ranks pictures against each other for one query. Scores of different queries do not compare, and the best match may still be a bad one.",
    }),
    h("h3", { text: "Keys" }),
    h(
      "dl",
      { class: "keys" },
      ...KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })]),
    ),
  );
  openModal(dialog);
}

function shippedModel(): HTMLElement[] {
  return [
    h("p", {
      text: "The model that comes with internvl is very small (under 20 MB) so that it is simply there. It learnt from drawings with free licences.",
    }),
    h("h3", { text: "It knows" }),
    h("p", {
      text: "Pictograms, emoji, clip art, stamps and flags, asked for by what they show, in English and twelve other languages.",
    }),
    h("h3", { text: "It does not know" }),
    h("p", {
      text: "Photographs, people and places, writing inside pictures, how many of something there are, where it stands, and what is not there (“no hat”). Its vocabulary is that of its captions; less common languages know fewer words. For photographs load one of the published InternVL-C models, which use the same commands.",
    }),
  ];
}

const otherModel = (name: string): HTMLElement[] => [
  h("p", {
    text: `Pictures are compared by ${name}. Like every model of its kind it learnt from captions found on the web, with their gaps and prejudices: treat what it finds as a suggestion.`,
  }),
];
