/**
 * A binary min-heap of (key, item) pairs of numbers: lowest key first, lowest item among equal keys. Kept in two typed
 * arrays that grow, so that a million entries cost no objects.
 */
export class PairHeap {
  #keys: Float64Array<ArrayBuffer>;
  #items: Int32Array<ArrayBuffer>;
  #size = 0;

  constructor(capacity = 64) {
    this.#keys = new Float64Array(Math.max(1, capacity));
    this.#items = new Int32Array(Math.max(1, capacity));
  }

  get size(): number {
    return this.#size;
  }

  /** Key of the first pair. Meaningless when the heap is empty. */
  get key(): number {
    return this.#keys[0]!;
  }

  push(key: number, item: number): void {
    if (this.#size === this.#keys.length) this.#grow();
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(key, item, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#keys[at] = key;
    this.#items[at] = item;
  }

  /** Removes the first pair and returns its item; -1 when the heap is empty. */
  pop(): number {
    if (this.#size === 0) return -1;
    const first = this.#items[0]!;
    const last = --this.#size;
    const key = this.#keys[last]!;
    const item = this.#items[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(this.#keys[child + 1]!, this.#items[child + 1]!, child)) child++;
      if (this.#before(key, item, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#keys[at] = key;
    this.#items[at] = item;
    return first;
  }

  #before(key: number, item: number, other: number): boolean {
    const k = this.#keys[other]!;
    return key < k || (key === k && item < this.#items[other]!);
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from]!;
    this.#items[to] = this.#items[from]!;
  }

  #grow(): void {
    const keys = new Float64Array(this.#keys.length * 2);
    const items = new Int32Array(this.#items.length * 2);
    keys.set(this.#keys);
    items.set(this.#items);
    this.#keys = keys;
    this.#items = items;
  }
}
