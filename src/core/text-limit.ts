/** Longest text of InternVL-C and -G in tokens, BOS and EOS included: what they were trained with. */
export const MAX_TEXT_TOKENS = 80;
