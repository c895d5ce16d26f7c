// The page: shows a conversation as it goes on, and lets its user take part. What others wrote is shown as text only, never
// as HTML.
import { Goodship } from "./goodship.js";

const $ = (id) => document.getElementById(id);

// put changes what an element has: texts and elements. What stays is not touched, so that nobody is read it again or loses the focus.
function put(id, ...parts) {
  const made = document.createElement("div");
  made.append(...parts);
  if (made.innerHTML !== $(id).innerHTML) $(id).replaceChildren(...made.childNodes);
}
const fail = (error) => put("problem", error.message);

// theirs returns an element with what somebody wrote, to stand among our words, whichever way it is written.
function theirs(text) {
  const shown = document.createElement("bdi");
  shown.textContent = text;
  return shown;
}

const parameters = new URLSearchParams(location.search);
const as = parameters.get("as") === "agent" ? "agent" : "customer";

let agentId; // who this agent is; undefined on a customer's page
async function newToken() {
  const response = await fetch(`/token?as=${as}`, { method: "POST" });
  if (!response.ok) throw new Error(await response.text());
  const signedIn = await response.json();
  agentId = signedIn.agentId;
  return signedIn.token;
}
const lost = () => put("connection", "There is no connection. Trying again …");
const goodship = new Goodship(document.querySelector("meta[name=goodship]").content, newToken, lost);

let conversation = null; // as it was last read; null if there is none yet
let path = ""; // its path
let seen; // the newest revision shown to an agent: what an answer answers
let newest = 0; // the newest message's number
let readTo = 0; // the newest message's number that others have read
let number; // this customer's number among those who take part
let ahead = 0; // how far the server's clock is ahead of ours, in ms
const now = () => Date.now() + ahead;
const isMine = (who) => (as === "agent" ? who.agentId === agentId : who.kind === "SENDER_KIND_CUSTOMER");

// follow reads something, and then tells what happens from where it was read, so that nothing falls in between.
async function follow(path, read, tell) {
  for (;;) {
    const cursor = await read();
    try {
      for await (const update of goodship.watch(path, cursor)) {
        put("connection", "Live.");
        tell(update);
      }
    } catch (refusal) {
      if (!["INVALID_CURSOR", "CURSOR_TOO_OLD"].includes(refusal.reason)) throw refusal; // else the store was restored: read again
    }
  }
}

// show shows a conversation, what happens in it, and what can be done there.
function show(id) {
  path = `/v1/conversations/${id}`;
  for (const form of ["say", "propose"]) $(form)?.removeAttribute("hidden");
  return follow(`${path}:watch`, read, tell);
}

// read shows all messages, and returns the cursor from which to watch.
async function read() {
  $("messages").replaceChildren();
  let first;
  for (let token = ""; token !== undefined; ) {
    const list = await goodship.call("GET", `${path}/messages?pageSize=100&pageToken=${encodeURIComponent(token)}`);
    first ??= list;
    list.messages?.forEach(showMessage);
    token = list.nextPageToken;
  }
  seen = first.revision;
  markRead();
  refresh();
  return first.watchCursor;
}

// tell shows one update of the watch.
function tell({ event, readMark, signal, progress }) {
  if (progress) {
    ahead = Date.parse(progress.serverTime) - Date.now();
    if (conversation?.state === "STATE_WAITING") refresh(); // others move the place in the line
  }
  if (event) showEvent(event);
  if (readMark) showReadMark(readMark);
  if (signal?.kind === "SIGNAL_KIND_TYPING" && !isMine(signal.sender)) showTyping(signal);
}

function showEvent(event) {
  const [kind, detail] = Object.entries(event).find(([name, value]) => name !== "actor" && typeof value === "object");
  if (detail.message) {
    showMessage(detail.message);
    showRead();
    markRead();
  }
  const line = document.createElement("li");
  line.value = event.revision ?? event.publicRevision;
  line.textContent = kind;
  $("events").append(line);
  seen = event.revision;
  refresh();
}

function showMessage(message) {
  const mine = isMine(message.sender);
  if (mine && as === "customer") number = message.sender.participantNumber;
  if (!mine) showTyping();
  let shown = $(`message-${message.number}`);
  if (!shown) {
    shown = document.createElement("article");
    shown.id = `message-${message.number}`;
    shown.className = mine ? "mine" : "";
    shown.append(...["h2", "p", "small", "small"].map((tag) => document.createElement(tag)));
    for (const part of shown.querySelectorAll("h2, p")) part.dir = "auto";
    $("messages").append(shown);
  }
  const [name, text, edited] = shown.children;
  name.textContent = message.sender.persona?.displayName ?? (message.sender.kind === "SENDER_KIND_CUSTOMER" ? "Customer" : "Automatic message");
  text.textContent = message.redactTime ? "Removed." : message.text;
  edited.textContent = message.editTime ? "Edited. " : "";
  newest = Math.max(newest, message.number);
}

// markRead says how far this user has read, if they look.
function markRead() {
  if (newest === 0 || document.visibilityState !== "visible") return;
  goodship.request("POST", `${path}/messages:markRead`, { body: { number: newest } }).catch(() => {});
}

function showReadMark(mark) {
  if (as === "agent" ? mark.agentId === agentId : mark.participantNumber === number) return;
  readTo = Math.max(readTo, mark.messageNumber);
  showRead();
}

// showRead marks this user's messages that others have read.
function showRead() {
  for (let n = readTo; n > 0; n--) {
    const shown = $(`message-${n}`);
    if (shown?.className === "mine") shown.lastChild.textContent = "Read.";
  }
}

// showTyping shows that somebody writes, until it is over; without a signal, that nobody does.
let typing;
function showTyping(signal) {
  clearTimeout(typing);
  put("typing", ...(signal ? [theirs(signal.sender?.persona?.displayName ?? "Somebody"), " is writing …"] : []));
  if (signal) typing = setTimeout(showTyping, Date.parse(signal.expireTime) - now());
}

// again returns a function that does something: once more if it is called while it is at it.
function again(act) {
  let stale = false;
  let busy = false;
  return async () => {
    stale = true;
    if (busy) return;
    try {
      for (busy = true; stale; ) {
        stale = false;
        await act();
      }
    } catch (error) {
      fail(error);
    }
    busy = false;
  };
}

// refresh reads how the conversation stands and shows it.
const refresh = again(showStanding);

const states = { STATE_WAITING: "Waiting for an answer.", STATE_ANSWERED: "Answered.", STATE_RESOLVED: "Solved." };

async function showStanding() {
  const before = conversation?.state;
  conversation = await goodship.call("GET", path);
  if (as === "agent" && conversation.state !== before) refreshDesk();
  put("state", states[conversation.state]);
  showPromise();
  let place = "";
  if (conversation.state === "STATE_WAITING") {
    const wait = await goodship.call("GET", `${path}/wait`);
    if (wait.place) place = `Number ${wait.place} in line.`;
    if (wait.estimate?.p90) place += ` Nine of ten waits end within ${Math.ceil(parseFloat(wait.estimate.p90) / 60)} min.`;
  }
  put("place", place);
  if (as === "agent") return;
  const proposed = conversation.state === "STATE_ANSWERED" && conversation.resolutionNumber;
  const resolution = proposed && (await goodship.call("GET", `${path}/resolutions/${proposed}`));
  put("proposal", ...(resolution ? ["Done: ", theirs(resolution.done), " Is it solved? If not, just write on."] : []));
  $("solved").hidden = conversation.state === "STATE_RESOLVED";
}

function showPromise() {
  const waiting = conversation?.state === "STATE_WAITING";
  const left = waiting ? Math.ceil((Date.parse(conversation.answerPromise.dueTime) - now()) / 1000) : 0;
  const within = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  put("promise", !waiting ? "" : left > 0 ? `An answer is promised within ${within}.` : "We promised an answer by now, and are late.");
}

// readDesk shows an agent how the line stands, and the conversations that are theirs and not solved, those who wait first. It
// returns the cursor from which to watch.
async function readDesk() {
  const line = await goodship.call("GET", "/v1/desk/line");
  put("line", line.unownedCount ? `${line.unownedCount} in line.` : "Nobody waits in line.");
  const query = new URLSearchParams({ ownerId: agentId, pageSize: 100 });
  const lists = [];
  for (const state of ["STATE_WAITING", "STATE_ANSWERED"]) lists.push(await goodship.call("GET", `/v1/conversations?state=${state}&${query}`));
  mine = lists.flatMap((list) => list.conversations ?? []);
  put("conversations", ...mine.map(entry));
  return lists[0].watchCursor;
}

let mine = []; // this agent's conversations that are not solved
const refreshDesk = again(readDesk);

// entry returns a conversation as one to choose.
function entry({ id, customerId, state }) {
  const link = document.createElement("a");
  link.href = `?${new URLSearchParams({ as, conversation: id })}`;
  link.ariaCurrent = path.endsWith(`/${id}`) ? "page" : null;
  link.append(theirs(customerId), `: ${states[state]}`);
  const line = document.createElement("li");
  line.append(link);
  return line;
}

// on lets a form do something, one thing at a time, and shows why it could not.
function on(form, act) {
  $(form)?.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const fields = Object.fromEntries(new FormData(submit.target));
    const fieldset = submit.target.querySelector("fieldset");
    const focused = document.activeElement;
    fieldset.disabled = true;
    put("problem", "");
    await act(fields).then(() => submit.target.reset(), fail);
    fieldset.disabled = false;
    if (document.activeElement === document.body) focused.focus();
  });
}

on("say", async ({ text }) => {
  if (path) return goodship.call("POST", `${path}/messages`, { text, seenRevision: seen });
  const opened = await goodship.call("POST", "/v1/conversations", { text, continueOpen: true });
  show(opened.id).catch(fail);
});

on("propose", (fields) => goodship.call("POST", `${path}/resolutions`, { ...fields, seenRevision: seen }));

on("solved", () => goodship.call("POST", `${path}/resolutions:confirm`, { resolutionNumber: conversation.resolutionNumber }));

on("claim", async () => {
  const claimed = await goodship.call("POST", "/v1/conversations:claimNext", {});
  if (!claimed.conversation) throw new Error("Nobody waits.");
  location.search = new URLSearchParams({ as, conversation: claimed.conversation.id });
});

let told = 0;
$("say").addEventListener("input", () => {
  if (!path || Date.now() - told < 3000) return;
  told = Date.now();
  goodship.request("POST", `${path}/signals`, { body: { kind: "SIGNAL_KIND_TYPING" } }).catch(() => {});
});

// start shows what the user talked about last: an agent what they chose, or else the first of theirs.
async function start() {
  for (const other of document.querySelectorAll(`[data-for]:not([data-for=${as}])`)) other.remove();
  put("person", as);
  document.addEventListener("visibilitychange", markRead);
  setInterval(showPromise, 1000);
  const id = as === "agent" ? await startDesk() : (await goodship.call("GET", "/v1/conversations?pageSize=1")).conversations?.[0].id;
  put("connection", "");
  if (as === "customer") $("say").hidden = false;
  return id && show(id);
}

// startDesk shows the desk and what happens at it, and returns the id of the conversation to show.
async function startDesk() {
  await readDesk();
  follow("/v1/desk:watch?state=STATE_WAITING", readDesk, ({ event }) => event && refreshDesk()).catch(fail);
  return parameters.get("conversation") ?? mine[0]?.id;
}

start().catch(fail);
