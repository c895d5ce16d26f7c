// The page: shows a conversation as it goes on, and lets its user take part. What others wrote is shown by textContent only,
// never as HTML.
import { Goodship } from "./goodship.js";

const $ = (id) => document.getElementById(id);

// put changes a text; one that stays is not touched, so that nobody is read it again.
const put = (id, text) => $(id).textContent === text || ($(id).textContent = text);
const fail = (error) => put("problem", error.message);

const parameters = new URLSearchParams(location.search);
const as = parameters.get("as") === "agent" ? "agent" : "customer";

let agentId; // who this agent is; undefined on a customer's page
const goodship = new Goodship(document.querySelector("meta[name=goodship]").content, async () => {
  const response = await fetch(`/token?as=${as}`, { method: "POST" });
  if (!response.ok) throw new Error(await response.text());
  const signedIn = await response.json();
  agentId = signedIn.agentId;
  return signedIn.token;
});

let conversation = null; // as it was last read; null if there is none yet
let path = ""; // its path
let seen; // the newest revision shown to an agent: what an answer answers
let newest = 0; // the newest message's number
let readTo = 0; // the newest message's number that others have read
let number; // this customer's number among those who take part
let ahead = 0; // how far the server's clock is ahead of ours, in ms
const now = () => Date.now() + ahead;
const isMine = (who) => (as === "agent" ? who.agentId === agentId : who.kind === "SENDER_KIND_CUSTOMER");

// show reads a conversation, and then shows what happens in it: from where it was read, so that nothing falls in between.
async function show(id) {
  path = `/v1/conversations/${id}`;
  for (;;) {
    const cursor = await read();
    refresh();
    try {
      for await (const update of goodship.watch(id, cursor, () => put("connection", "Connecting …"))) tell(update);
    } catch (refusal) {
      if (refusal.reason !== "INVALID_CURSOR") throw refusal; // the server's store was restored: read again
    }
  }
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
  return first.watchCursor;
}

// tell shows one update of the watch.
function tell({ event, readMark, signal, progress }) {
  put("connection", "Live.");
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
  put("typing", signal ? `${signal.sender?.persona?.displayName ?? "Somebody"} is writing …` : "");
  if (signal) typing = setTimeout(showTyping, Date.parse(signal.expireTime) - now());
}

// refresh reads how the conversation stands and shows it: once more if it is called while it is at it.
let stale = false;
let refreshing = false;
async function refresh() {
  stale = true;
  if (refreshing) return;
  try {
    for (refreshing = true; stale; ) {
      stale = false;
      await showStanding();
    }
  } catch (error) {
    fail(error);
  }
  refreshing = false;
}

const states = { STATE_WAITING: "Waiting for an answer.", STATE_ANSWERED: "Answered.", STATE_RESOLVED: "Solved." };

async function showStanding() {
  conversation = await goodship.call("GET", path);
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
  put("proposal", resolution ? `Done: ${resolution.done} Is it solved? If not, just write on.` : "");
  $("solved").hidden = conversation.state === "STATE_RESOLVED";
}

function showPromise() {
  const waiting = conversation?.state === "STATE_WAITING";
  const left = waiting ? Math.ceil((Date.parse(conversation.answerPromise.dueTime) - now()) / 1000) : 0;
  const within = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  put("promise", !waiting ? "" : left > 0 ? `An answer is promised within ${within}.` : "We promised an answer by now, and are late.");
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

// start shows an agent what they claimed, and a customer what they talked about last.
async function start() {
  for (const other of document.querySelectorAll(`[data-for]:not([data-for=${as}])`)) other.remove();
  put("person", as);
  document.addEventListener("visibilitychange", markRead);
  setInterval(showPromise, 1000);
  if (as === "agent") return parameters.has("conversation") && show(parameters.get("conversation"));
  const list = await goodship.call("GET", "/v1/conversations?pageSize=1");
  return list.conversations && show(list.conversations[0].id);
}

start().catch(fail);
