// The examples, with the frameworks themselves and a scripted model. They need
// `npm install --no-save ai @mastra/core`; without that, they are skipped.

import assert from "node:assert/strict";
import test from "node:test";

import { ConflictError, Memory } from "../src/index.js";

/** A model that answers with how many messages it got, and remembers them. */
async function scripted(received) {
  const { MockLanguageModelV3 } = await import("ai/test");
  const content = [{ type: "text", text: "Hello." }];
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  };
  const finishReason = { unified: "stop", raw: "stop" };
  return new MockLanguageModelV3({
    doGenerate: async ({ prompt }) => {
      received.push(JSON.stringify(prompt));
      return { content, finishReason, usage, warnings: [] };
    },
    doStream: async ({ prompt }) => {
      received.push(JSON.stringify(prompt));
      const parts = [
        { type: "stream-start", warnings: [] },
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "Hello." },
        { type: "text-end", id: "1" },
        { type: "finish", finishReason, usage },
      ];
      const stream = new ReadableStream({
        start(controller) {
          for (const part of parts) controller.enqueue(part);
          controller.close();
        },
      });
      return { stream };
    },
  });
}

const installed = async (name) => {
  try {
    await import(name);
    return true;
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    return false;
  }
};

for (const [file, needs] of [["vercel-ai", "ai"], ["mastra", "@mastra/core/agent"]]) {
  const skip = !((await installed(needs)) && (await installed("ai/test"))) && `${needs} is not installed`;
  test(`${file} remembers`, { skip }, async () => {
    const { chat } = await import(`../examples/${file}.js`);
    const received = [];
    const model = await scripted(received);
    const namespace = `ts-${crypto.randomUUID()}`;
    const ask = (text) => chat({ memory: new Memory(namespace), session: "s", model, text });
    assert.equal(await ask("My name is Ada."), "Hello.");
    await ask("What is my name?");
    assert.match(received.at(-1), /My name is Ada\..*Hello\..*What is my name\?/);
    const memory = new Memory(namespace);
    assert.deepEqual((await memory.history("s").tail(9)).map(({ value }) => value.role), [
      "user", "assistant", "user", "assistant",
    ]);
    const both = await Promise.allSettled([ask("one"), ask("two")]);
    const refused = both.filter(({ status }) => status === "rejected");
    assert((await memory.history("s").info()).count === 8 - 2 * refused.length);
    for (const { reason } of refused) assert(reason instanceof ConflictError);
  });
}
