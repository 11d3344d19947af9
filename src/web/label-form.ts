import { api, type Classified, type Picture } from "./api.ts";
import { h } from "./dom.ts";
import { formatPercent } from "./format.ts";
import { announce } from "./notices.ts";

/** The words last used, shared by all places where one classifies. */
export interface LabelMemory {
  text: string;
}

/** "cat, dog; bird" -> the labels, each once. */
export function parseLabels(text: string): string[] {
  const labels = text.split(/[,;\n，、；]/).map((label) => label.trim());
  return [...new Set(labels.filter(Boolean))];
}

/** A line to type labels in; `show` gets what the model makes of the pictures. */
export function labelForm(options: {
  readonly memory: LabelMemory;
  readonly pictures: () => readonly Picture[];
  readonly show: (results: readonly Classified[]) => void;
}): HTMLElement {
  const problem = h("p", { class: "problem", role: "alert" });
  const input = h("input", {
    type: "text",
    placeholder: "cat, dog, bird",
    "aria-label": "Labels to choose from, separated by commas",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 4000,
  });
  input.value = options.memory.text;
  const button = h("button", { type: "submit", class: "strong", text: "Classify" });
  let abort = new AbortController();

  async function submit(): Promise<void> {
    options.memory.text = input.value;
    const labels = parseLabels(input.value);
    problem.textContent =
      labels.length < 2 ? "Type at least two labels to choose between, with a comma." : "";
    if (labels.length < 2) return;
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    button.setAttribute("aria-busy", "true");
    try {
      const ids = options.pictures().map((picture) => picture.id);
      const { results } = await api.classify(ids, labels, signal);
      options.show(results);
      const top = results[0]?.labels[0];
      if (top) announce(`Most likely ${top.label}, ${formatPercent(top.probability)}`);
    } catch (error) {
      if (!signal.aborted) problem.textContent = (error as Error).message;
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  const form = h("form", { class: "label-form" }, input, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  return h("div", {}, form, problem);
}

/** Labels with their probabilities, likeliest first, as bars. */
export function probabilityBars(result: Classified): HTMLElement {
  if (result.error !== undefined) return h("p", { class: "problem", text: result.error });
  return h(
    "ol",
    { class: "bars", "aria-label": "Probabilities" },
    ...result.labels.map(({ label, probability }, i) => {
      const track = h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill" }));
      track.style.setProperty("--share", `${probability * 100}%`);
      return h(
        "li",
        { class: i === 0 ? "first" : "" },
        h("span", { class: "bar-label", text: label }),
        track,
        h("span", { class: "bar-value", text: formatPercent(probability) }),
      );
    }),
  );
}
