// Tests the reader of server-sent events, wherever the network cuts the stream to pieces.
import assert from "node:assert/strict";
import { events } from "./goodship.js";

const stream =
  "retry: 1000\n\n" +
  ": a comment\n\n" +
  'id: one\ndata: {"text": "Ahoy, Käpt’n ⚓\u2028"}\n\n' +
  "data:no space\r\ndata:  two lines\r\n\r\n" +
  "id: three\rdata: old lines\r\r" +
  "event: error\ndata: {}\n\n" +
  "data\n\n" +
  "id: lost\ndata: cut off\n";

const want = [
  { name: "message", data: '{"text": "Ahoy, Käpt’n ⚓\u2028"}', id: "one" },
  { name: "message", data: "no space\n two lines" },
  { name: "message", data: "old lines", id: "three" },
  { name: "error", data: "{}" },
  { name: "message", data: "" },
];

const bytes = new TextEncoder().encode(stream);

// read returns the events of a stream that comes in pieces.
async function read(...pieces) {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const got = [];
  for await (const event of events(new Response(body))) got.push(event);
  return got;
}

assert.deepEqual(await read(bytes), want);
assert.deepEqual(await read(...Array.from(bytes, (byte) => Uint8Array.of(byte))), want);
for (let cut = 0; cut <= bytes.length; cut++) {
  assert.deepEqual(await read(bytes.subarray(0, cut), bytes.subarray(cut)), want, `cut after byte ${cut}`);
}
