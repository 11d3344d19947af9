import { createHash } from "node:crypto";

export type Split = "train" | "heldout-concepts" | "heldout-drawings" | "heldout-surplus";

/** What the split looks at. `pixels` is a digest of the converted picture. */
export interface Splittable {
  readonly id: string;
  readonly group: string;
  readonly family: string;
  readonly pixels: string;
  readonly surplus?: true;
}

/** The recipe's seed: another number gives other held-out pictures. */
export const NANO_SEED = 20_241_201;

/** Share of the concepts, and of the drawings of the remaining emoji, that is held out (nano's definition). */
export const HELD_OUT = 0.1;

/** Uniform in [0, 1), the same on every machine: a hash of the seed and the name, never the order. */
export function hash01(seed: number, name: string): number {
  return createHash("sha256").update(`${seed}\n${name}`).digest().readUInt32BE(0) / 2 ** 32;
}

/**
 * The split of every picture, by its id; surplus pictures that are not held out have none.
 *
 * *heldout-concepts*: a tenth of the emoji and flags with all their drawings, and a tenth of the other pictures,
 * each by itself. Groups that share a picture bit for bit (the flags of France and of Clipperton Island) are
 * decided together, or the test would have been seen.
 * *heldout-surplus*: a tenth of the surplus pictures. The library's own mixture is heldout-concepts with these.
 * *heldout-drawings*: of the remaining emoji and flags, a tenth of the (group, family) pairs, as long as
 * another family of the same group stays in training, so that the concept is known.
 */
export function splitPictures(pictures: readonly Splittable[], seed: number): ReadonlyMap<string, Split> {
  const isHeld = (name: string) => hash01(seed, name) < HELD_OUT;
  const cluster = clusterGroups(pictures.filter((p) => !p.surplus));
  const result = new Map<string, Split>();
  const drawn = new Map<string, Set<string>>(); // group -> families
  const unheld: Splittable[] = [];
  for (const picture of pictures) {
    if (picture.surplus) {
      if (isHeld(`picture:${picture.id}`)) result.set(picture.id, "heldout-surplus");
      continue;
    }
    const emoji = isEmojiLike(picture.group);
    const held = isHeld(emoji ? `concept:${cluster.get(picture.group)!}` : `picture:${picture.id}`);
    result.set(picture.id, held ? "heldout-concepts" : "train");
    if (held || !emoji) continue;
    unheld.push(picture);
    const families = drawn.get(picture.group) ?? new Set();
    drawn.set(picture.group, families.add(picture.family));
  }
  for (const picture of unheld) {
    const without = (family: string) => isHeld(`drawing:${cluster.get(picture.group)!}:${family}`);
    const families = [...drawn.get(picture.group)!];
    const known = families.some((family) => !without(family));
    if (known && without(picture.family)) result.set(picture.id, "heldout-drawings");
  }
  return result;
}

/** Emoji and flags have several drawings of one concept; a clip-art picture stands by itself. */
export function isEmojiLike(group: string): boolean {
  return group.startsWith("emoji:") || group.startsWith("flag:");
}

/** Group -> the smallest name of the groups tied to it by identical pictures (union-find). */
function clusterGroups(pictures: readonly Splittable[]): ReadonlyMap<string, string> {
  const parent = new Map<string, string>();
  const find = (group: string): string => {
    let root = group;
    while (parent.get(root) !== undefined && parent.get(root) !== root) root = parent.get(root)!;
    return root;
  };
  const first = new Map<string, string>(); // pixels -> group
  for (const { group, pixels } of pictures) {
    if (!parent.has(group)) parent.set(group, group);
    const other = first.get(pixels);
    if (other === undefined) {
      first.set(pixels, group);
      continue;
    }
    const [a, b] = [find(other), find(group)].sort() as [string, string];
    if (a !== b) parent.set(b, a);
  }
  return new Map([...parent.keys()].map((group) => [group, find(group)]));
}
