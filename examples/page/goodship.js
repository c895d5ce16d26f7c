// How a page calls Goodship: as its signed-in user, over REST, and hears what happens. It knows nothing of what the page
// shows: copy it as it is.

// Refusal is what Goodship answers instead of a reply: a google.rpc.Status.
export class Refusal extends Error {
  constructor(status) {
    super(status.message);
    this.code = status.code; // the canonical code, as in 5 for NOT_FOUND
    this.reason = status.details?.find((detail) => detail.reason)?.reason; // as in CONVERSATION_NOT_FOUND
  }

  // Whether the same call may work later: RESOURCE_EXHAUSTED, UNAVAILABLE.
  get passing() {
    return this.code === 8 || this.code === 14;
  }
}

const UNAUTHENTICATED = 16;

// A stream that is alive tells something every 15 seconds; all in ms.
const SILENCE = 40_000;

// A stream that lasts so long works: the next one is opened soon.
const STEADY = 1000;

// pause waits before the next try, up to 1/4, 1/2, 1 … 30 seconds: by chance, so that pages which lost their server together
// do not come back together. It is over when the browser comes online.
const pause = (failures) =>
  new Promise((resume) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      resume();
    };
    const timer = setTimeout(over, Math.random() * Math.min(30_000, 250 * 2 ** failures));
    addEventListener("online", over);
  });

// events reads the server-sent events {name, data, id} of a response: EventSource would, but cannot send an Authorization
// header. An event that the end of the stream cuts off is none.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let event = { name: "message", data: [] };
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/); // a \r at the end may be half of a \r\n
    rest = lines.pop();
    for (const line of lines) {
      const [, field, content] = line.match(/^([^:]*):? ?(.*)$/s);
      if (field === "data") event.data.push(content);
      else if (field === "event") event.name = content;
      else if (field === "id") event.id = content;
      else if (line === "") {
        if (event.data.length > 0) yield { ...event, data: event.data.join("\n") };
        event = { name: "message", data: [] };
      }
    }
  }
}

// Goodship calls the server at a URL with the tokens that the function `newToken` promises, one after the other. `lost` is called
// whenever the server does not answer, or a stream ends; it is tried again.
export class Goodship {
  #url;
  #lost;
  #newToken;
  #token; // the promise of the current one; undefined if there is none, or it has ended

  constructor(url, newToken, lost = () => {}) {
    this.#url = url;
    this.#lost = lost;
    this.#newToken = () =>
      newToken().catch((error) => {
        this.#token = undefined;
        throw error;
      });
  }

  // request makes a call, and once more with a new token if the old one has ended. It returns the response.
  async request(method, path, { body, headers, signal } = {}) {
    for (let renewed = false; ; renewed = true) {
      const token = (this.#token ??= this.#newToken());
      const type = body && { "Content-Type": "application/json" };
      const response = await fetch(this.#url + path, {
        method,
        body: body && JSON.stringify(body),
        headers: { Authorization: `Bearer ${await token}`, ...type, ...headers },
        signal,
      });
      if (response.ok) return response;
      const refusal = new Refusal(await response.json());
      if (refusal.code === UNAUTHENTICATED && this.#token === token) this.#token = undefined;
      if (refusal.code !== UNAUTHENTICATED || renewed) throw refusal;
    }
  }

  // call makes a call until there is a reply, and returns it; or throws the Refusal that no retry cures. A try whose answer
  // was lost may have worked: under the same key it takes effect once.
  async call(method, path, body) {
    const headers = body && { "Idempotency-Key": crypto.randomUUID() };
    for (let failures = 0; ; failures++) {
      try {
        return await (await this.request(method, path, { body, headers })).json();
      } catch (error) {
        if (error instanceof Refusal && !error.passing) throw error;
      }
      this.#lost();
      await pause(failures);
    }
  }

  // watch tells what happens after a cursor, each event once and in order, through whatever happens to the connection; or throws
  // the Refusal that no retry cures. The path is that of a stream, as in /v1/desk:watch.
  async *watch(path, cursor) {
    for (let failures = 0; ; failures++) {
      const opened = Date.now();
      const connection = new AbortController();
      let silence = setTimeout(() => connection.abort(), SILENCE);
      try {
        const response = await this.request("GET", path, {
          headers: { Accept: "text/event-stream", "Last-Event-ID": cursor },
          signal: connection.signal,
        });
        for await (const event of events(response)) {
          clearTimeout(silence);
          silence = setTimeout(() => connection.abort(), SILENCE);
          if (event.name === "error") {
            const refusal = new Refusal(JSON.parse(event.data));
            if (refusal.code === UNAUTHENTICATED) break; // the next request gets a new token, or is refused for good
            throw refusal;
          }
          cursor = event.id ?? cursor;
          yield JSON.parse(event.data);
        }
      } catch (error) {
        if (error instanceof Refusal && !error.passing) throw error;
      } finally {
        clearTimeout(silence);
        connection.abort();
      }
      this.#lost();
      if (Date.now() - opened > STEADY) failures = 0;
      await pause(failures);
    }
  }
}
