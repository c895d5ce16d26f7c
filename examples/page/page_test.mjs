// The story of TestInABrowser: a customer and an agent talk, the server dies and comes back, and each page tells in the end
// exactly what the log has.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { CHROMIUM, PAGE, REST, KEY, CONTROL } = process.env;
const said = []; // every text, by whomever

// control stops and starts the server.
async function control(deed) {
  const done = await fetch(`${CONTROL}/${deed}`, { method: "POST" });
  assert.equal(done.status, 200, await done.text());
}

// rest calls the API outside the browser.
async function rest(path, headers, body) {
  const response = await fetch(REST + path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response;
}

// join opens the page in a browser of its own, as far as cookies and connections go.
async function join(browser, as) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const requests = [];
  const wrong = [];
  page.on("request", (request) => requests.push(request));
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => /Content.Security.Policy/.test(message.text()) && wrong.push(message.text()));
  page.setDefaultTimeout(30_000);
  await page.goto(`${PAGE}/?as=${as}`);
  return { as, context, page, requests, wrong, log: page.getByRole("log", { name: "Conversation" }) };
}

const hears = (person, text) => person.log.getByText(text, { exact: true }).waitFor();
const sees = (person, text) => person.page.getByText(text).waitFor();

// begins writes a text and sends it; it may take until there is a server.
async function begins(person, text) {
  said.push(text);
  await person.page.getByLabel("Your message").fill(text);
  await person.page.getByRole("button", { name: "Send" }).click();
}

async function says(person, text) {
  await begins(person, text);
  await hears(person, text);
}

// watches are the streams that a page has opened since it was loaded.
const watches = (person) => person.requests.filter((request) => request.url().endsWith(":watch") && request.method() === "GET");
const cursor = (watch) => watch.headers()["last-event-id"];

// missing cuts somebody off, and lets others speak meanwhile. A browser that is put offline keeps the streams it has, so the
// server ends them.
async function missing(person, signal, other) {
  const before = watches(person).length;
  await person.context.setOffline(true);
  await control(signal);
  await sees(other, "There is no connection. Trying again …");
  await begins(other, `Said while there is no server (${signal}), to who is away`);
  await control("start");
  await hears(other, said.at(-1));
  for (const n of [1, 2, 3]) await says(other, `${n}: are you there, ${person.as}? (${signal})`);
  assert.equal(await person.log.getByText(said.at(-1)).count(), 0, "who is offline heard something");
  await person.context.setOffline(false);
  await hears(person, said.at(-1));
  await sees(person, "Live.");
  const resumed = watches(person).slice(before);
  assert.ok(resumed.length > 0 && resumed.every(cursor), "a stream was resumed without Last-Event-ID");
}

// firstUpdate opens a stream where nothing happens and returns how it begins.
const firstUpdate = (person, path, authorization) =>
  person.page.evaluate(
    async ([url, authorization]) => {
      const response = await fetch(url, { headers: { Authorization: authorization }, signal: AbortSignal.timeout(10_000) });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ; ) {
        const { value, done } = await reader.read();
        text += value;
        if (done || text.includes("data:")) {
          await reader.cancel();
          return text;
        }
      }
    },
    [`${REST}${path}:watch`, authorization],
  );

// logAfter reads the log by one undisturbed watch: what comes after a cursor, until a revision.
async function logAfter(path, headers, cursor, last) {
  const stop = new AbortController();
  const response = await fetch(`${REST}${path}:watch`, { headers: { ...headers, "Last-Event-ID": cursor }, signal: stop.signal });
  const events = [];
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + piece).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      const event = data && JSON.parse(data.slice("data: ".length)).event;
      if (event) events.push(event);
    }
    if ((events.at(-1)?.revision ?? events.at(-1)?.publicRevision) >= last) break;
  }
  stop.abort();
  return events;
}

// compare holds what a page told to what the API has.
async function compare(person, path) {
  const first = watches(person)[0];
  const headers = { Authorization: watches(person).at(-1).headers().authorization };
  const conversation = await (await rest(path, headers)).json();
  const last = conversation.revision ?? conversation.publicRevision;
  await person.page.waitForFunction((last) => document.querySelector("#events li:last-child")?.value >= last, last);

  const told = await person.page.locator("#events li").evaluateAll((list) => list.map((line) => [line.value, line.textContent]));
  const log = await logAfter(path, headers, cursor(first), last);
  const kind = (event) => Object.keys(event).find((name) => name !== "actor" && typeof event[name] === "object");
  assert.deepEqual(told, log.map((event) => [event.revision ?? event.publicRevision, kind(event)]), `${person.as}: the page tells something else than the log`);
  told.forEach(([revision], i) => assert.equal(revision, told[0][0] + i, `${person.as}: a gap`));
  assert.equal(told.at(-1)[0], last);

  const { messages } = await (await rest(`${path}/messages?pageSize=100`, headers)).json();
  const shown = await person.log.locator("article").evaluateAll((list) => list.map((article) => article.children[1].textContent));
  assert.deepEqual(shown, messages.map((message) => message.text), `${person.as}: the page shows other messages`);
  assert.deepEqual(shown.toSorted(), said.toSorted(), "something said was lost, or said twice");
  return `${person.as}: ${told.length} events, ${shown.length} messages, ${watches(person).length} streams`;
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--disable-dev-shm-usage", "--disable-gpu"] });
const [customer, agent] = [await join(browser, "customer"), await join(browser, "agent")];

// Who has no conversation yet can only begin one.
await sees(agent, "Nobody waits in line.");
for (const label of ["Your message", "What was done"]) assert.equal(await agent.page.getByLabel(label).isVisible(), false, `${label}, in no conversation`);
assert.equal(await customer.page.getByRole("button", { name: "It is solved" }).isVisible(), false);

// Hello.
await begins(customer, "The film stops after ten minutes.");
await hears(customer, said[0]);
await sees(customer, "Live.");
await sees(customer, "Waiting for an answer.");
await sees(customer, /^An answer is promised within [0-4]:\d\d\.$/);
await sees(customer, /^Number 1 in line\./);
await sees(agent, "1 in line.");
await agent.page.getByRole("button", { name: "Take who has waited longest" }).click();
await hears(agent, said[0]);
await sees(agent, "Live.");
await sees(agent, "Nobody waits in line.");
const path = `/v1/conversations/${new URL(agent.page.url()).searchParams.get("conversation")}`;

// An answer: it is typed, comes, and is one.
await agent.page.getByLabel("Your message").pressSequentially("Ahoy");
await sees(customer, /is writing …$/);
await says(agent, "Ahoy, lieutenant! <img id=injected src=x> A moment, please.");
await hears(customer, said[1]);
await sees(customer, "Answered.");
for (const person of [customer, agent]) await person.log.getByText("Read.").waitFor();
assert.equal(await customer.page.locator("#injected").count(), 0, "a message was taken for HTML");

// A stream opens at once, though nothing happens; and not for a stranger's page.
const authorization = watches(customer)[0].headers().authorization;
assert.match(await firstUpdate(customer, path, authorization), /^(retry: \d+\n\n)?id: \S+\ndata: \{.*"progress":\{"serverTime":"[^"]+"\}\}\n\n/);
const stranger = { page: await (await browser.newContext()).newPage() };
await stranger.page.goto(CONTROL);
await assert.rejects(firstUpdate(stranger, path, authorization), /Failed to fetch/);

// Another page of the agent has what is theirs, and goes from one conversation to another, whichever way it is written.
const key = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
await rest("/v1/conversations", { ...key, "Goodship-Act-For": "customer/ben" }, { text: "שלום (1)" });
await sees(agent, "1 in line.");
await rest("/v1/conversations:claimNext", { ...key, "Goodship-Act-For": "agent/captain" }, {});
await sees(agent, "Nobody waits in line.");
const second = await join(browser, "agent");
await hears(second, "שלום (1)"); // who waits goes first
assert.equal(await second.log.getByText("שלום (1)").evaluate((text) => getComputedStyle(text).direction), "rtl");
const list = second.page.getByRole("navigation", { name: "Your conversations" });
assert.deepEqual(await list.getByRole("link").allTextContents(), ["ben: Waiting for an answer.", "lieutenant: Answered."]);
assert.equal(await list.getByRole("link", { name: "ben", exact: false }).getAttribute("aria-current"), "page");
await list.getByRole("link", { name: "lieutenant", exact: false }).click();
await hears(second, said[1]);
assert.equal(new URL(second.page.url()).searchParams.get("conversation"), path.split("/").at(-1));
await second.context.close();

// Each in turn misses what the other says while the server dies, and hears all of it later.
await missing(agent, "KILL", customer);
await missing(customer, "TERM", agent);

// A token that ends is renewed, and nothing is missed.
const renewed = customer.page.waitForRequest(/\/token\?/);
await rest("/v1/tokens:revoke", key, { customerId: "lieutenant" });
await renewed;
await says(agent, "Still there?");
await hears(customer, said.at(-1));
await says(customer, "Aye.");
await hears(agent, said.at(-1));

// A page that is opened while there is no server says so, and shows all when there is one.
await control("KILL");
const early = [await join(browser, "customer"), await join(browser, "agent")];
for (const person of early) await sees(person, "There is no connection. Trying again …");
for (const person of early) assert.equal(await person.page.getByLabel("Your message").isVisible(), false);
await control("start");
for (const person of early) {
  await hears(person, said.at(-1));
  await sees(person, "Live.");
  assert.deepEqual(person.wrong, [], `${person.as}: the page has errors`);
  await person.context.close();
}

// Solved, which only the customer says.
await agent.page.getByLabel("What was done").fill("Chapter 2 was encoded anew.");
await agent.page.getByLabel("What to say with it").fill("It plays through now.");
said.push("It plays through now.");
await agent.page.getByRole("button", { name: "Propose" }).click();
await sees(customer, /^Done: Chapter 2 was encoded anew\./);
await customer.page.getByRole("button", { name: "It is solved" }).click();
for (const person of [customer, agent]) await sees(person, "Solved.");

for (const person of [customer, agent]) {
  console.log(await compare(person, path));
  assert.deepEqual(person.wrong, [], `${person.as}: the page has errors`);
  for (const request of person.requests) assert.doesNotMatch(request.url(), /gtk_|gsk_|eyJ/, "a token in a URL");
}
await browser.close();
