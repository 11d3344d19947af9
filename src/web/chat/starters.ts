import { DETECT_PROMPT } from "../../text/grounding.ts";

/** Questions to begin with: what the button says, and what it asks. */
export const STARTERS: readonly { readonly text: string; readonly ask: string }[] = [
  { text: "Describe it", ask: "Describe this picture in a few sentences." },
  { text: "Read the text", ask: "What does the text in this picture say? Write it down as it stands." },
  { text: "Mark all objects", ask: DETECT_PROMPT },
  { text: "Compare pictures", ask: "What is different between these pictures?" },
];
