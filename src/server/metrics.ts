/** Values of a series' labels, in the order of its label names. */
type LabelValues = readonly string[];

interface Series {
  write(): string;
}

/** Numbers of a running server in the text format of Prometheus (version 0.0.4). */
export class Metrics {
  readonly #series: Series[] = [];

  /** A number that only grows. */
  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    return this.#add(new Counter(name, help, labels));
  }

  /** Numbers that are asked for when they are wanted, each with its labels' values. */
  gauge(
    name: string,
    help: string,
    labels: readonly string[],
    read: () => Iterable<readonly [labels: LabelValues, value: number]>,
  ): void {
    this.#add({
      write: () =>
        header(name, help, "gauge") +
        [...read()].map(([values, value]) => line(name, labels, values, value)).join(""),
    });
  }

  /** How often values were at most each of `bounds`, their sum and their number. */
  histogram(name: string, help: string, labels: readonly string[], bounds: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, labels, bounds));
  }

  text(): string {
    return this.#series.map((series) => series.write()).join("");
  }

  #add<S extends Series>(series: S): S {
    this.#series.push(series);
    return series;
  }
}

export class Counter implements Series {
  readonly #counts = new Map<string, { readonly values: LabelValues; count: number }>();

  constructor(
    readonly name: string,
    readonly help: string,
    readonly labels: readonly string[],
  ) {}

  add(values: LabelValues, amount = 1): void {
    const key = JSON.stringify(values);
    const found = this.#counts.get(key);
    if (found) found.count += amount;
    else this.#counts.set(key, { values, count: amount });
  }

  write(): string {
    const lines = [...this.#counts.values()].map(({ values, count }) =>
      line(this.name, this.labels, values, count),
    );
    return header(this.name, this.help, "counter") + lines.join("");
  }
}

export class Histogram implements Series {
  readonly #rows = new Map<
    string,
    { readonly values: LabelValues; readonly counts: number[]; sum: number }
  >();

  constructor(
    readonly name: string,
    readonly help: string,
    readonly labels: readonly string[],
    /** Ascending; values above the last are counted in the total only. */
    readonly bounds: readonly number[],
  ) {}

  observe(values: LabelValues, value: number): void {
    const key = JSON.stringify(values);
    const row = this.#rows.get(key) ?? {
      values,
      counts: new Array<number>(this.bounds.length + 1).fill(0),
      sum: 0,
    };
    this.#rows.set(key, row);
    const at = this.bounds.findIndex((bound) => value <= bound);
    row.counts[at < 0 ? this.bounds.length : at]!++;
    row.sum += value;
  }

  write(): string {
    let text = header(this.name, this.help, "histogram");
    for (const { values, counts, sum } of this.#rows.values()) {
      let total = 0;
      for (const [i, count] of counts.entries()) {
        total += count;
        const bound = String(this.bounds[i] ?? "+Inf");
        text += line(`${this.name}_bucket`, [...this.labels, "le"], [...values, bound], total);
      }
      text += line(`${this.name}_sum`, this.labels, values, sum);
      text += line(`${this.name}_count`, this.labels, values, total);
    }
    return text;
  }
}

const header = (name: string, help: string, type: string): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

function line(name: string, labels: readonly string[], values: LabelValues, value: number): string {
  const pairs = labels.map((label, i) => `${label}="${escaped(values[i] ?? "")}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
}

const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
