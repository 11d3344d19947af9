import type { Conversation } from "./turns.ts";

/** Older conversations than these are forgotten. */
export const MAX_CONVERSATIONS = 60;

/** Bytes of the pictures of all conversations. */
const MAX_BYTES = 300_000_000;

const DATABASE = "internvl";
const STORE = "conversations";

/** Conversations by id, as some storage keeps them. */
interface Store {
  all(): Promise<Conversation[]>;
  get(id: string): Promise<Conversation | undefined>;
  put(conversation: Conversation): Promise<void>;
  delete(id: string): Promise<void>;
}

/** The conversations of this browser, kept in it and nowhere else. Where it keeps nothing they last as long as the page. */
export class ChatHistory {
  #store: Promise<Store>;
  #kept = true;

  constructor() {
    this.#store = openDatabase().then(databaseStore, () => this.#forget());
  }

  /** Whether conversations outlive the page. */
  get isKept(): boolean {
    return this.#kept;
  }

  /** The latest first. */
  async list(): Promise<Conversation[]> {
    const all = await this.#run((store) => store.all());
    return all.sort((a, b) => b.changedMs - a.changedMs);
  }

  get(id: string): Promise<Conversation | undefined> {
    return this.#run((store) => store.get(id));
  }

  /** Keeps a conversation, in place of the oldest ones where there are too many. */
  async put(conversation: Conversation): Promise<void> {
    await this.#run((store) => store.put(conversation));
    const surplus = beyondBounds(await this.list()).filter((id) => id !== conversation.id);
    for (const id of surplus) await this.delete(id);
  }

  delete(id: string): Promise<void> {
    return this.#run((store) => store.delete(id));
  }

  /** A storage that refuses (none left, switched off meanwhile) is replaced by memory, and the step is done there. */
  async #run<T>(step: (store: Store) => Promise<T>): Promise<T> {
    const store = await this.#store;
    try {
      return await step(store);
    } catch {
      const known = await store.all().catch(() => []);
      const memory = this.#forget(known);
      this.#store = Promise.resolve(memory);
      return step(memory);
    }
  }

  #forget(known: readonly Conversation[] = []): Store {
    this.#kept = false;
    return memoryStore(known);
  }
}

/** Ids of the conversations (the latest first) that there is no room for. */
export function beyondBounds(conversations: readonly Conversation[]): string[] {
  let bytes = 0;
  return conversations
    .filter((conversation, i) => {
      bytes += sizeOf(conversation);
      return i > 0 && (i >= MAX_CONVERSATIONS || bytes > MAX_BYTES);
    })
    .map(({ id }) => id);
}

const sizeOf = ({ exchanges }: Conversation): number =>
  exchanges
    .flatMap(({ question }) => question.attachments)
    .flatMap((a) => (a.kind === "video" ? a.frames : [a.picture]))
    .reduce((sum, { blob }) => sum + blob.size, 0);

function memoryStore(known: readonly Conversation[]): Store {
  const conversations = new Map(known.map((c) => [c.id, c]));
  return {
    all: async () => [...conversations.values()],
    get: async (id) => conversations.get(id),
    put: async (conversation) => void conversations.set(conversation.id, conversation),
    delete: async (id) => void conversations.delete(id),
  };
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    // Throws where site data is switched off.
    const opening = indexedDB.open(DATABASE, 1);
    opening.addEventListener("upgradeneeded", () =>
      opening.result.createObjectStore(STORE, { keyPath: "id" }),
    );
    opening.addEventListener("success", () => resolve(opening.result));
    opening.addEventListener("error", () => reject(opening.error));
    opening.addEventListener("blocked", () => reject(new Error("another page holds the database")));
  });
}

function databaseStore(database: IDBDatabase): Store {
  /** The result, once the transaction is complete. */
  const run = <T>(mode: IDBTransactionMode, step: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = step(transaction.objectStore(STORE));
      transaction.addEventListener("complete", () => resolve(request.result));
      transaction.addEventListener("abort", () => reject(transaction.error));
    });
  return {
    all: () => run<Conversation[]>("readonly", (store) => store.getAll()),
    get: (id) => run<Conversation | undefined>("readonly", (store) => store.get(id)),
    put: async (conversation) => void (await run("readwrite", (store) => store.put(conversation))),
    delete: (id) => run<undefined>("readwrite", (store) => store.delete(id)),
  };
}
